/**
 * Writing one object: its chunks first, the entry last, so that it is visible whole or not at all. A small object is two
 * publishes, each repeated safely under its own message id. A large one keeps a few chunks in flight, on one connection
 * and without repetition, because a repeated chunk would land behind its successor; if any fails, the upload fails, and one
 * from bytes in memory is begun anew under another id.
 */
import { createHash } from 'node:crypto';
import { abortable, withDeadline } from '@canopy/core';
import { nuid } from '@nats-io/transport-node';
import type { JetStreamApi } from '../jetstream/api.ts';
import type { Budget } from '../session/link.ts';
import type { BlobSource } from './port.ts';
import { blobStream, chunkSubject, encodeMeta, metaSubject } from './wire.ts';

/** Kept below the server's limit: the stock tools' readers buffer whole chunks. */
const CHUNK_RESERVE = 4096;
const IN_FLIGHT = 4;
const CHUNK_TIMEOUT_MS = 10_000;

export interface Upload {
  readonly nuid: string;
  readonly size: number;
  readonly chunks: number;
  readonly sha256: Uint8Array;
}

export function chunkBytesFor(api: JetStreamApi): number {
  return Math.max(1024, api.link.maxPayload - CHUNK_RESERVE);
}

/** Stores the chunks under `id`. */
export async function uploadChunks(
  api: JetStreamApi,
  bucket: string,
  operation: string,
  id: string,
  source: BlobSource,
  budget: Budget,
  sha256?: Uint8Array,
): Promise<Upload> {
  const chunkBytes = chunkBytesFor(api);
  if (source instanceof Uint8Array && source.length <= chunkBytes)
    return uploadSmall(api, bucket, operation, id, source, budget, sha256);
  const hash = sha256 === undefined || !(source instanceof Uint8Array) ? createHash('sha256') : undefined;
  const subject = chunkSubject(bucket, id);
  const flight: Promise<number>[] = [];
  let size = 0;
  let chunks = 0;
  let lastSeq = 0;
  const settleOne = async (): Promise<void> => {
    const seq = await (flight.shift() as Promise<number>);
    if (seq <= lastSeq) throw new Error(`chunks of ${operation} were stored out of order`);
    lastSeq = seq;
  };
  const pieces =
    source instanceof Uint8Array
      ? slices(source, chunkBytes)
      : inChunks(bounded(api, operation, source, budget), chunkBytes);
  try {
    for await (const chunk of pieces) {
      if (budget.spent) throw budget.expired(operation);
      if (flight.length >= IN_FLIGHT) await settleOne();
      hash?.update(chunk);
      size += chunk.length;
      chunks += 1;
      const timeoutMs = Math.max(1, Math.min(budget.leftMs, CHUNK_TIMEOUT_MS));
      const sent = api.publishOnce(operation, subject, chunk, { timeoutMs, signal: budget.signal });
      sent.catch(() => {});
      flight.push(sent.then((ack) => ack.seq));
      flight.at(-1)?.catch(() => {});
    }
    while (flight.length > 0) await settleOne();
  } catch (error) {
    await Promise.allSettled(flight);
    throw error;
  }
  return { nuid: id, size, chunks, sha256: hash?.digest() ?? (sha256 as Uint8Array) };
}

async function uploadSmall(
  api: JetStreamApi,
  bucket: string,
  operation: string,
  id: string,
  data: Uint8Array,
  budget: Budget,
  known: Uint8Array | undefined,
): Promise<Upload> {
  const sha256 = known ?? createHash('sha256').update(data).digest();
  if (data.length === 0) return { nuid: id, size: 0, chunks: 0, sha256 };
  await api.publish(operation, chunkSubject(bucket, id), data, {
    stream: blobStream(bucket),
    timeoutMs: budget.leftMs,
    signal: budget.signal,
    messageId: id,
  });
  return { nuid: id, size: data.length, chunks: 1, sha256 };
}

/** The source's pieces, each awaited no longer than the call may take. A source that hangs is left behind. */
async function* bounded(
  api: JetStreamApi,
  operation: string,
  source: AsyncIterable<Uint8Array>,
  budget: Budget,
): AsyncGenerator<Uint8Array> {
  const pieces = source[Symbol.asyncIterator]();
  let ended = false;
  try {
    for (;;) {
      const next = withDeadline(api.env.clock, operation, Math.max(0, budget.leftMs), pieces.next());
      const piece = await abortable(next, budget.signal);
      ended = piece.done === true;
      if (piece.done) return;
      yield piece.value;
    }
  } finally {
    if (!ended) void pieces.return?.()?.catch(() => {});
  }
}

/** Bytes in memory are sent from where they are: they must not change until the put settles. */
function* slices(bytes: Uint8Array, chunkBytes: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}

/** Cuts whatever sizes come into chunks of one size; holds at most one chunk. */
async function* inChunks(pieces: AsyncIterable<Uint8Array>, chunkBytes: number): AsyncGenerator<Uint8Array> {
  let held = new Uint8Array(chunkBytes);
  let fill = 0;
  for await (const piece of pieces) {
    for (let at = 0; at < piece.length; ) {
      const take = Math.min(chunkBytes - fill, piece.length - at);
      held.set(piece.subarray(at, at + take), fill);
      fill += take;
      at += take;
      if (fill < chunkBytes) continue;
      yield held;
      // The one just handed out is still being sent.
      held = new Uint8Array(chunkBytes);
      fill = 0;
    }
  }
  if (fill > 0) yield held.subarray(0, fill);
}

/** Stores the entry that makes the object visible. Returns its revision. */
export async function publishMeta(
  api: JetStreamApi,
  bucket: string,
  operation: string,
  name: string,
  upload: Upload,
  options: {
    headers: Readonly<Record<string, string>> | undefined;
    expectedSeq: number | undefined;
    budget: Budget;
  },
): Promise<number> {
  const { headers, expectedSeq, budget } = options;
  const data = encodeMeta({
    ...upload,
    bucket,
    name,
    headers,
    chunkBytes: chunkBytesFor(api),
    wallMs: api.env.clock.wall(),
  });
  const ack = await api.publish(operation, metaSubject(bucket, name), data, {
    stream: blobStream(bucket),
    timeoutMs: Math.max(1, budget.leftMs),
    signal: budget.signal,
    headers: { 'Nats-Rollup': 'sub' },
    messageId: nuid.next(),
    ...(expectedSeq === undefined ? {} : { expectedSeq }),
  });
  return ack.seq;
}
