/** Read-your-writes on one node: until what was written is in this node's file, and not just something with its number. */
import { type Clock, formatPosition, type Position } from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import type { SegmentLog } from '../log/segment-log.ts';
import type { Mode } from '../process/mode.ts';

const PAUSE_MS = 20;

export interface WaitAppliedDeps {
  now(): { readonly mode: Mode; readonly position: Position };
  readonly log: Pick<SegmentLog, 'entry' | 'bucket'> | undefined;
  readonly clock: Clock;
}

/**
 * Resolves once `wanted` is applied, whatever the database is by then. Epochs never fall along a log, so a file at a
 * higher transaction but a lower epoch is of another history: it goes on waiting. Where the epoch is higher and the log
 * still has the transaction, but under another epoch, it throws SQLITE_POSITION_UNKNOWN: what was written there is not in
 * this log. Throws the reason of the signal that aborts.
 */
export async function waitApplied(
  deps: WaitAppliedDeps,
  wanted: Position,
  signals: readonly (AbortSignal | undefined)[],
): Promise<void> {
  const signal = AbortSignal.any(signals.filter((one) => one !== undefined));
  for (let at = deps.now(); !includes(at.position, wanted); at = deps.now()) {
    signal.throwIfAborted();
    const following =
      at.mode.kind === 'replica' && at.position.txid < wanted.txid
        ? at.mode.follower.waitFor(wanted.txid, signal)
        : undefined;
    // Following ended: either we are aborted too, or it begins again with another file.
    const ended = await following?.then(
      () => false,
      () => true,
    );
    if (ended !== false || !includes(deps.now().position, wanted)) await deps.clock.sleep(PAUSE_MS, { signal });
  }
  const { position } = deps.now();
  if (position.epoch === wanted.epoch || wanted.txid === 0) return;
  // Positions are told only once they are stored: without an answer the file is believed.
  const entry = await deps.log?.entry(wanted.txid, { signal }).catch(() => undefined);
  signal.throwIfAborted();
  if (entry === undefined || entry.epoch === wanted.epoch) return;
  throw sqliteErrors.create('SQLITE_POSITION_UNKNOWN', {
    bucket: deps.log?.bucket,
    position: formatPosition(wanted),
    epoch: entry.epoch,
  });
}

function includes(at: Position, wanted: Position): boolean {
  return at.txid >= wanted.txid && at.epoch >= wanted.epoch;
}
