/**
 * Reading one object chunk by chunk, each asked for by its subject and the sequence after the last: no consumer is made,
 * so an abandoned read leaves nothing behind, and at most two chunks are in memory. Any replica may answer; what it does
 * not have is asked of the leader. The digest is checked at the end.
 */
import { createHash } from 'node:crypto';
import { natsErrors } from '../errors.ts';
import type { JetStreamApi } from '../jetstream/api.ts';
import type { Budget } from '../session/link.ts';
import { type BlobMeta, blobStream, chunkSubject, paddedBase64url } from './wire.ts';

interface Chunk {
  readonly seq: number;
  readonly data: Uint8Array;
}

const DIRECT_MS = 2000;

/** Where a reading has got to: behind chunk `number`, which is message `seq`. */
export interface Reached {
  readonly number: number;
  readonly seq: number;
  readonly held: () => AsyncIterable<Uint8Array>;
}

/** As text, with the upload that it belongs to. */
export function formatMark(nuid: string, { number, seq }: { number: number; seq: number }): string {
  return `${nuid} ${number} ${seq}`;
}

/** Undefined for what is of another upload. */
export function parseMark(mark: string, nuid: string): { number: number; seq: number } | undefined {
  const [of, number, seq] = mark.split(' ');
  return of === nuid && Number(number) > 0 && Number(seq) > 0
    ? { number: Number(number), seq: Number(seq) }
    : undefined;
}

/** `isCurrent` says whether the entry is still the one that was opened: else BLOB_GONE is thrown, not BLOB_CORRUPT. */
export async function* downloadChunks(
  api: JetStreamApi,
  bucket: string,
  meta: BlobMeta,
  budget: Budget,
  isCurrent: () => Promise<boolean>,
  reached?: Reached,
  onChunk: (at: { number: number; seq: number }) => void = () => {},
): AsyncGenerator<Uint8Array> {
  const operation = `read ${bucket}/${meta.name}`;
  const hash = createHash('sha256');
  const fail = async (): Promise<Error> => {
    const code = (await isCurrent()) ? 'BLOB_CORRUPT' : 'BLOB_GONE';
    return natsErrors.create(code, { bucket, name: meta.name });
  };
  let size = 0;
  if (reached !== undefined)
    for await (const piece of reached.held()) {
      hash.update(piece);
      size += piece.length;
    }
  const first = 1 + (reached?.number ?? 0);
  const from = 1 + (reached?.seq ?? 0);
  let ahead = meta.chunks >= first ? readChunk(api, bucket, meta.nuid, from, operation, budget) : undefined;
  for (let number = first; ahead !== undefined; number++) {
    const chunk = await ahead;
    if (chunk === undefined) throw await fail();
    ahead = number < meta.chunks ? readChunk(api, bucket, meta.nuid, chunk.seq + 1, operation, budget) : undefined;
    ahead?.catch(() => {});
    hash.update(chunk.data);
    size += chunk.data.length;
    onChunk({ number, seq: chunk.seq });
    yield chunk.data;
  }
  const digest = `SHA-256=${paddedBase64url(hash.digest())}`;
  // Empty objects of some clients carry no digest.
  const matches = meta.digest === digest || (size === 0 && (meta.digest ?? '') === '');
  if (size !== meta.size || !matches) throw await fail();
}

async function readChunk(
  api: JetStreamApi,
  bucket: string,
  nuid: string,
  fromSeq: number,
  operation: string,
  budget: Budget,
): Promise<Chunk | undefined> {
  if (budget.spent) throw budget.expired(operation);
  budget.signal?.throwIfAborted();
  const query = { seq: fromSeq, next_by_subj: chunkSubject(bucket, nuid) };
  const direct = await readDirect(api, bucket, query, budget);
  if (direct !== undefined) return direct;
  const timeoutMs = Math.max(1, budget.leftMs);
  return api.message(operation, blobStream(bucket), query, { timeoutMs, signal: budget.signal });
}

/** From whichever replica is near; undefined when it has not got it or does not answer. */
async function readDirect(
  api: JetStreamApi,
  bucket: string,
  query: object,
  budget: Budget,
): Promise<Chunk | undefined> {
  if (!api.link.connected) return undefined;
  try {
    const message = await api.link.request(
      `$JS.API.DIRECT.GET.${blobStream(bucket)}`,
      Buffer.from(JSON.stringify(query)),
      { timeoutMs: Math.max(1, Math.min(DIRECT_MS, budget.leftMs)), signal: budget.signal },
    );
    const seq = Number(message.headers?.get('Nats-Sequence'));
    return seq > 0 ? { seq, data: message.data } : undefined;
  } catch (error) {
    if (budget.signal?.aborted || api.link.closing.aborted) throw error;
    return undefined;
  }
}
