/**
 * Carries out one merge: inputs in, one object out, put create-only and decoded again from the store. Nothing is deleted
 * here but an output of our own that does not decode. Invariant: whoever gets an entry from here may rely on its bytes.
 */
import { join } from 'node:path';
import { type Clock, hasCode } from '@canopy/core';
import type { LogEntry } from '../log/names.ts';
import { formatName } from '../log/names.ts';
import type { SegmentLog } from '../log/segment-log.ts';
import { encodeLtxStream } from '../ltx/encoder.ts';
import type { LtxPage, PageEncoding } from '../ltx/header.ts';
import { MergeInputs } from './inputs.ts';
import { mergePages } from './merge-stream.ts';
import type { Compaction } from './planning.ts';
import type { Proofs } from './proofs.ts';

export interface CompactorDeps {
  readonly log: SegmentLog;
  readonly clock: Clock;
  /** Which stored objects this process has decoded. */
  readonly proofs: Proofs;
  /** A directory for scratch files; must not be used by anything else. */
  readonly scratch: string;
  readonly node: string;
  /** How pages go into what is merged. */
  readonly pageEncoding: PageEncoding;
}

/**
 * Resolves with the stored and verified output; it may have been there already, made by somebody else. Undefined: an
 * input was deleted meanwhile, plan anew. Throws SQLITE_LTX_INVALID, BLOB_CORRUPT, BUCKET_FULL, SQLITE_DISK_FULL.
 */
export async function compact(
  deps: CompactorDeps,
  plan: Compaction,
  signal: AbortSignal,
): Promise<LogEntry | undefined> {
  const { log, proofs } = deps;
  const there = plan.replaces ? undefined : await log.find(formatName(plan), { signal });
  if (there !== undefined) return (await proofs.prove(there, signal)) ? there : undefined;
  const last = plan.inputs.at(-1) as LogEntry;
  await using inputs = new MergeInputs({ log, scratch: join(deps.scratch, 'merge'), signal });
  try {
    const { header, streams } = await inputs.load(plan.inputs);
    const data = encodeLtxStream(header, politely(mergePages(streams, header), deps.clock, signal), deps.pageEncoding);
    // As the last input: who looks for the end of its own work finds it here when the single entries are gone.
    const { epoch, node, walEnd } = last;
    const logId = plan.inputs.findLast((input) => input.logId !== undefined)?.logId;
    const facts = { epoch, node: node ?? deps.node, walEnd, timestamp: header.timestamp, note: noteOf(deps), logId };
    const { level, minTxid, maxTxid, replaces: replace = false } = plan;
    // The image that it begins with, and whatever was changed or added since.
    const isImage = plan.inputs[0]?.kind === 'snapshot';
    const entry = await log.putMerged({ level, minTxid, maxTxid, ...facts, isImage, data }, { signal, replace });
    return await proveOwn(deps, entry, signal);
  } catch (error) {
    if (hasCode(error, 'BLOB_GONE') || (hasCode(error, 'SQLITE_LOG_GAP') && error.fields.vanished === true))
      return undefined;
    throw error;
  }
}

function noteOf({ node }: CompactorDeps): string {
  return `merged by ${node}`;
}

/** What does not decode must not stay: its inputs are all there still, and it would be taken for their substitute. */
async function proveOwn(deps: CompactorDeps, entry: LogEntry, signal: AbortSignal): Promise<LogEntry | undefined> {
  try {
    return (await deps.proofs.prove(entry, signal)) ? entry : undefined;
  } catch (error) {
    const isOurs = entry.note === noteOf(deps);
    if (isOurs && hasCode(error, 'SQLITE_LTX_INVALID', 'BLOB_CORRUPT'))
      await deps.log.store.delete(entry.name, { signal });
    throw error;
  }
}

/** The database's commits are shipped by the same thread: it gets its turn after each batch. */
export async function* politely(
  batches: AsyncIterable<readonly LtxPage[]>,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<readonly LtxPage[]> {
  for await (const batch of batches) {
    await clock.sleep(0, { signal });
    yield batch;
  }
}
