/**
 * Chunks whose entry never came: a process that died, or a server that did, in the middle of a put. Nobody sees them and
 * nothing refers to them, so they would stay for ever. Chunks are listed before entries: what becomes an object meanwhile
 * is seen as one.
 */
import type { JetStreamApi } from '../jetstream/api.ts';
import { answeredAt, type StreamInfo, streamSubjects } from '../jetstream/buckets.ts';
import { listOnce } from '../jetstream/consumer.ts';
import type { Budget } from '../session/link.ts';
import type { BlobSweep } from './port.ts';
import { blobStream, chunkSubject, decodeMeta, metaFilter } from './wire.ts';

/** No put pauses longer than its chunks may take. */
const AGE_MIN_MS = 60_000;

/** Removes uploads to which nothing was added for `olderThanMs`, by the server's clock then and now. */
export async function sweepOrphans(
  api: JetStreamApi,
  bucket: string,
  olderThanMs: number,
  budget: Budget,
): Promise<BlobSweep> {
  const operation = `sweep ${bucket}`;
  const stream = blobStream(bucket);
  const left = (): { timeoutMs: number; signal: AbortSignal | undefined } => {
    if (budget.spent) throw budget.expired(operation);
    return { timeoutMs: budget.leftMs, signal: budget.signal };
  };
  const uploads = await streamSubjects(api, stream, chunkSubject(bucket, '>'), left());
  const before = (await serverTime(api, operation, stream, left())) - Math.max(olderThanMs, AGE_MIN_MS);
  for (const message of await listOnce(api, operation, { stream, filter: metaFilter(bucket), ...left() })) {
    const meta = decodeMeta(message.data);
    if (meta === undefined) continue;
    if (!meta.deleted) uploads.delete(chunkSubject(bucket, meta.nuid));
    // A deletion that was cut off.
    else if (message.writtenAt <= before)
      await api.call(
        operation,
        `STREAM.PURGE.${stream}`,
        { filter: message.subject, seq: message.streamSeq + 1 },
        left(),
      );
  }
  let orphans = 0;
  for (const subject of uploads) {
    const last = await api.message(operation, stream, { last_by_subj: subject }, left());
    if (last === undefined || last.writtenAt > before) continue;
    // Up to what was seen: a chunk that is just being added stays.
    await api.call(operation, `STREAM.PURGE.${stream}`, { filter: subject, seq: last.seq + 1 }, left());
    orphans++;
  }
  return { orphans };
}

/** Ours may be hours ahead, and then a put that is under way would look abandoned. */
async function serverTime(
  api: JetStreamApi,
  operation: string,
  stream: string,
  options: { timeoutMs: number; signal: AbortSignal | undefined },
): Promise<number> {
  return answeredAt(await api.call<StreamInfo>(operation, `STREAM.INFO.${stream}`, undefined, options));
}
