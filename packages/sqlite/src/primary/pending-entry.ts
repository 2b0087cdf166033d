/**
 * An entry that is not in the log yet, and the one after it: while a primary has fallen behind, what follows is read and
 * encoded as the entry before it is under way. Invariants: at most one is prepared ahead; it is sent only once the one
 * before it is known to be in the log; the WAL is not checkpointed while there is one.
 */
import type { Clock } from '@canopy/core';
import type { LtxChunks } from '../log/appender.ts';
import type { WalCursor } from '../wal/reader.ts';
import type { LiveDatabase } from './live-database.ts';
import { encodeFramesInSteps, isStreamed } from './segment-builder.ts';

export interface PendingEntry {
  readonly txid: number;
  readonly kind: 'claim' | 'commit' | 'snapshot';
  readonly bytes: Uint8Array | LtxChunks;
  /** Pages of the database after it. */
  readonly commit: number;
  /** More was there when it was read. */
  readonly more: boolean;
  /** Where in the WAL it ends. */
  readonly end: WalCursor | undefined;
}

/**
 * What comes after `before`, which is under way. Undefined for what is not simply more of the WAL, and for what is read
 * while it is sent: both wait for their turn. The read position moves only when it is complete.
 */
export async function prepareNext(
  before: PendingEntry,
  live: LiveDatabase,
  clock: Clock,
  signal: AbortSignal,
): Promise<PendingEntry | undefined> {
  const rest = (): Promise<void> => clock.sleep(0, { signal });
  // What is under way goes first.
  await rest();
  // A stream reads the WAL in its own time.
  if (!(before.bytes instanceof Uint8Array)) return undefined;
  const step = live.next();
  if (step.type !== 'frames' || step.batch.commit === undefined || isStreamed(step.batch)) return undefined;
  const batch = { ...step.batch, commit: step.batch.commit };
  const txid = before.txid + 1;
  const bytes = await encodeFramesInSteps(txid, clock.wall(), batch, before.commit, live.readers, rest);
  live.advance(batch.end);
  return { txid, kind: 'commit', bytes, commit: batch.commit, more: batch.more, end: batch.end };
}

/** What is read while it is sent; once all of it was read, and before the log can have it, `check` may refuse it. */
export function checkedAtEnd(bytes: Uint8Array | LtxChunks, check: () => void): Uint8Array | LtxChunks {
  if (bytes instanceof Uint8Array) return bytes;
  return {
    header: bytes.header,
    chunks: async function* () {
      yield* bytes.chunks();
      check();
    },
  };
}
