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

/** `isCurrent` says whether the entry is still the one that was opened: else BLOB_GONE is thrown, not BLOB_CORRUPT. */
export async function* downloadChunks(
  api: JetStreamApi,
  bucket: string,
  meta: BlobMeta,
  budget: Budget,
  isCurrent: () => Promise<boolean>,
): AsyncGenerator<Uint8Array> {
  const operation = `read ${bucket}/${meta.name}`;
  const hash = createHash('sha256');
  const fail = async (): Promise<Error> => {
    const code = (await isCurrent()) ? 'BLOB_CORRUPT' : 'BLOB_GONE';
    return natsErrors.create(code, { bucket, name: meta.name });
  };
  let ahead = meta.chunks > 0 ? readChunk(api, bucket, meta.nuid, 1, operation, budget) : undefined;
  let size = 0;
  for (let number = 1; ahead !== undefined; number++) {
    const chunk = await ahead;
    if (chunk === undefined) throw await fail();
    ahead = number < meta.chunks ? readChunk(api, bucket, meta.nuid, chunk.seq + 1, operation, budget) : undefined;
    ahead?.catch(() => {});
    hash.update(chunk.data);
    size += chunk.data.length;
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
