/**
 * A replica's state made anew from what everybody has: the newest snapshot and the log behind it, or the log alone. Invariant: what is there stays,
 * and is read, until all of the new state has come; the two change places in one commit, so there is nothing between for a
 * crash or a failure to leave behind.
 */
import { assert, type Clock } from '@canopy/core';
import { replicationErrors } from '../../errors.ts';
import type { EventLog, EventLogInfo, LogEvent } from '../../ports/event-log.ts';
import type { SnapshotInfo } from '../../ports/snapshot-store.ts';
import type { StateChange } from '../../ports/state-store.ts';
import type { ResolvedConfig } from '../config.ts';
import type { Recovery } from '../recovery-progress.ts';
import { EpochFence } from './epoch-fence.ts';
import type { Freshness } from './freshness.ts';
import { EPOCH_TOPIC } from './log-records.ts';
import { judged, type LogState } from './log-state.ts';
import type { Snapshots } from './snapshots.ts';

export interface RebuildContext {
  readonly config: ResolvedConfig;
  readonly log: EventLog;
  readonly state: LogState;
  readonly clock: Clock;
  readonly snapshots: Snapshots | undefined;
  readonly freshness: Freshness;
  readonly recovery: Recovery;
  /** Also a state that the log can't give back. */
  readonly discard: boolean;
}

/** Resolves with how many events of the log it took. Throws RECOVERY_REFUSED, SNAPSHOT_MISSING, SNAPSHOT_DAMAGED, and what log and stores throw; then nothing has changed. */
export async function rebuildState(context: RebuildContext, signal: AbortSignal): Promise<number> {
  const { config, log, state, clock, snapshots, freshness, recovery } = context;
  const askedAt = clock.monotonic();
  const info = await log.info({ signal, timeoutMs: config.writeTimeoutMs });
  const isOfAnother = (state.logId !== 0 && state.logId !== info.createdAt) || state.sequence > info.lastSequence;
  if (isOfAnother && !context.discard) {
    const problem = `log ${log.name} was made anew and may not have what this node has`;
    throw replicationErrors.create('RECOVERY_REFUSED', { node: config.nodeId, problem });
  }
  const snapshot = await snapshots?.usable(info);
  const from = snapshot?.sequence ?? 0;
  if (info.firstSequence > from + 1) throw state.snapshotMissing(info.firstSequence, log, 0);
  const { lastSequence: sequence, createdAt: logCreatedAt } = info;
  try {
    const epoch = await epochAt(context, snapshot, sequence, signal);
    const entries = allEntries(context, snapshot, { end: sequence, epoch }, signal);
    await state.replace(entries, { sequence, epoch, logCreatedAt });
    freshness.restart(askedAt, sequence);
    return recovery.recovered;
  } finally {
    if (recovery.active) recovery.end(clock.monotonic());
  }
}

/** Which epoch reigns there. */
async function epochAt(
  { log, state, config }: RebuildContext,
  snapshot: SnapshotInfo | undefined,
  end: number,
  signal: AbortSignal,
): Promise<number> {
  const fence = new EpochFence(snapshot?.epoch ?? 0);
  for await (const event of eventsUpTo(log, state, { after: snapshot?.sequence ?? 0, end, topic: EPOCH_TOPIC }, signal))
    judged([event], fence, config.namespace);
  return fence.epoch;
}

async function* allEntries(
  { config, log, state, clock, snapshots, recovery }: RebuildContext,
  snapshot: SnapshotInfo | undefined,
  { end, epoch }: { end: number; epoch: number },
  signal: AbortSignal,
): AsyncGenerator<readonly StateChange[]> {
  if (snapshot !== undefined && snapshots !== undefined)
    yield* snapshots.entries(snapshot, signal, (done, total) => {
      if (done === 0) recovery.begin('snapshot', 0, total, clock.monotonic());
      else recovery.advance(done, 0);
    });
  const after = snapshot?.sequence ?? 0;
  const fence = new EpochFence(snapshot?.epoch ?? 0);
  recovery.begin('log', after, end, clock.monotonic());
  let batch: LogEvent[] = [];
  const taken = (): readonly StateChange[] => {
    const { changes, writes } = judged(batch, fence, config.namespace);
    recovery.advance(batch.at(-1)?.sequence ?? after, writes.length);
    batch = [];
    return changes;
  };
  for await (const event of eventsUpTo(log, state, { after, end }, signal)) {
    batch.push(event);
    if (batch.length >= config.applyBatchSize) yield taken();
  }
  if (batch.length > 0) yield taken();
  assert(fence.epoch === epoch, 'the records of epochs name every epoch of the log');
}

/** All of them up to `end`. Throws SNAPSHOT_MISSING when some were trimmed away meanwhile. */
async function* eventsUpTo(
  log: EventLog,
  state: LogState,
  { end, ...from }: { readonly after: number; readonly end: EventLogInfo['lastSequence']; readonly topic?: string },
  signal: AbortSignal,
): AsyncGenerator<LogEvent> {
  let last = from.after;
  if (last >= end) return;
  for await (const item of log.read({ ...from, signal })) {
    if (item.type === 'trimmed' && item.first > last + 1) throw state.snapshotMissing(item.first, log, last);
    if (item.type === 'event' && item.sequence <= end) yield item;
    if (item.type === 'event' || item.type === 'caught-up') last = item.sequence;
    if (last >= end) return;
  }
  signal.throwIfAborted();
}
