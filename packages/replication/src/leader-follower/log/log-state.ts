/**
 * The state of a replica of a log: the store, its position and the fence. Invariant: all three move together, in one commit of the
 * store; when that fails, none has moved.
 */

import { type Clock, coreErrors } from '@canopy/core';
import { replicationErrors } from '../../errors.ts';
import type { EventLog, EventLogInfo, LogEvent } from '../../ports/event-log.ts';
import {
  type DurableStateStore,
  type EncodedState,
  isDurableStateStore,
  type ReplicaPosition,
  type StateChange,
  type StateSnapshot,
} from '../../ports/state-store.ts';
import type { ResolvedConfig } from '../config.ts';
import type { WriteOperation } from '../write-request.ts';
import { encodedState } from './encoded-state.ts';
import { EpochFence } from './epoch-fence.ts';
import { parseRecord, unfitness } from './log-records.ts';
import { withVolatilePosition } from './volatile-store.ts';

/** A record that counts. */
export interface AppliedWrite {
  readonly key: string;
  readonly operation: WriteOperation;
  readonly sequence: number;
  readonly epoch: number;
  /** Within its term. */
  readonly number: number;
}

export interface Reading {
  /** The log's last sequence. */
  readonly end: number;
  readonly writes: readonly AppliedWrite[];
}

/** A write that no store could hold: every replica passes over it. */
export interface UnfitRecord {
  readonly sequence: number;
  readonly problem: string;
}

export class LogState {
  readonly #store: DurableStateStore;
  readonly #encoded: EncodedState;
  readonly #namespace: string;
  readonly #batchSize: number;
  readonly #nodeId: string;
  #fence: EpochFence;
  #sequence: number;
  #logId = 0;
  /** Records of deposed leaders that were passed over. */
  staleRecords = 0;
  onApplied: (events: readonly LogEvent[]) => void = () => {};
  onUnfit: (record: UnfitRecord) => void = () => {};

  constructor(config: ResolvedConfig) {
    const { stateStore, lastAppliedSequence, namespace, applyBatchSize, nodeId } = config;
    this.#store = isDurableStateStore(stateStore) ? stateStore : withVolatilePosition(stateStore, lastAppliedSequence);
    this.#encoded = encodedState(this.#store, nodeId);
    this.#namespace = namespace;
    this.#nodeId = nodeId;
    this.#batchSize = applyBatchSize;
    const { sequence, epoch, logCreatedAt = 0 } = this.#store.position();
    this.#sequence = sequence;
    this.#logId = sequence === 0 ? 0 : logCreatedAt;
    this.#fence = new EpochFence(epoch);
  }

  get sequence(): number {
    return this.#sequence;
  }

  get fence(): Pick<EpochFence, 'epoch' | 'leaderId' | 'claim'> {
    return this.#fence;
  }

  get logId(): number {
    return this.#logId;
  }

  /** Takes over what the store says: after a bootstrap. */
  reload(): void {
    const { sequence, epoch } = this.#store.position();
    this.#sequence = sequence;
    this.#fence = new EpochFence(epoch);
  }

  /** All of it is replaced in one commit, or nothing is; it may be that of another log. Throws what `entries` and the store throw. */
  async replace(entries: AsyncIterable<readonly StateChange[]>, position: Required<ReplicaPosition>): Promise<void> {
    await this.#encoded.replace(entries, position);
    this.reload();
    this.#logId = position.logCreatedAt;
  }

  /** Values encoded. */
  snapshot(): StateSnapshot {
    return this.#encoded.snapshot();
  }

  /** The log as it is now. Throws REPLICA_BEYOND_LOG when this state can't be of it. */
  identify(info: EventLogInfo, log: EventLog): void {
    const isOther = this.#logId !== 0 && this.#logId !== info.createdAt;
    if (this.#sequence <= info.lastSequence && !isOther) {
      this.#logId = info.createdAt;
      return;
    }
    const problem = isOther ? 'that one was made anew' : `that one ends at ${info.lastSequence}`;
    const fields = { node: this.#nodeId, sequence: this.#sequence, end: info.lastSequence, log: log.name, problem };
    throw replicationErrors.create('REPLICA_BEYOND_LOG', fields);
  }

  /** Everything in one commit. Events at or below the position are passed over. Throws what the store throws. */
  apply(events: readonly LogEvent[]): AppliedWrite[] {
    const fresh = events.filter(({ sequence }) => sequence > this.#sequence);
    const last = fresh.at(-1);
    if (last === undefined) return [];
    const fence = this.#fence.copy();
    const { changes, writes, stale, unfit } = judged(fresh, fence, this.#namespace);
    const log = this.#logId === 0 ? {} : { logCreatedAt: this.#logId };
    this.#encoded.apply(changes, { sequence: last.sequence, epoch: fence.epoch, ...log });
    this.#fence = fence;
    this.#sequence = last.sequence;
    this.staleRecords += stale;
    this.onApplied(fresh);
    for (const record of unfit) this.onUnfit(record);
    return writes;
  }

  /**
   * Applies all that the log has now. Throws SNAPSHOT_MISSING when the next events are not there any more, DEADLINE_EXCEEDED, and
   * what the log and the store throw; what was read until then is applied.
   */
  async readToEnd(log: EventLog, clock: Clock, timeoutMs: number, signal?: AbortSignal): Promise<Reading> {
    const ending = new AbortController();
    const expired = coreErrors.create('DEADLINE_EXCEEDED', { operation: `read ${log.name}`, timeoutMs });
    const timer = clock.timer(timeoutMs, () => ending.abort(expired));
    const stop = signal === undefined ? ending.signal : AbortSignal.any([ending.signal, signal]);
    const writes: AppliedWrite[] = [];
    try {
      const info = await log.info({ timeoutMs, signal: stop });
      this.identify(info, log);
      if (this.#sequence >= info.lastSequence) return { end: info.lastSequence, writes };
      if (info.firstSequence > this.#sequence + 1) throw this.snapshotMissing(info.firstSequence, log);
      const batch: LogEvent[] = [];
      for await (const item of log.read({ after: this.#sequence, signal: stop })) {
        if (item.type === 'trimmed') throw this.snapshotMissing(item.first, log);
        if (item.type === 'event') batch.push(item);
        const atEnd = item.type !== 'interrupted' && item.sequence >= info.lastSequence;
        if (batch.length >= this.#batchSize || atEnd) writes.push(...this.apply(batch.splice(0)));
        if (atEnd) return { end: item.sequence, writes };
      }
      stop.throwIfAborted();
      throw expired;
    } finally {
      timer.cancel();
    }
  }

  snapshotMissing(first: number, log: EventLog, sequence = this.#sequence): Error {
    return replicationErrors.create('SNAPSHOT_MISSING', { log: log.name, first, sequence });
  }
}

/** What these events change, as the fence lets them; it moves on. */
export function judged(
  events: readonly LogEvent[],
  fence: EpochFence,
  namespace: string,
): {
  readonly changes: StateChange[];
  readonly writes: AppliedWrite[];
  readonly stale: number;
  readonly unfit: UnfitRecord[];
} {
  const changes: StateChange[] = [];
  const writes: AppliedWrite[] = [];
  const unfit: UnfitRecord[] = [];
  let stale = 0;
  for (const { sequence, event } of events) {
    const record = parseRecord(event, namespace);
    const problem = record?.type === 'replication.write' ? unfitness(record) : undefined;
    if (problem !== undefined) {
      unfit.push({ sequence, problem });
      continue;
    }
    const verdict = record === undefined ? undefined : fence.judge(record);
    if (verdict === 'stale') stale += 1;
    if (verdict !== 'write' || record?.type !== 'replication.write') continue;
    const { key, operation, epoch, number } = record;
    changes.push({ key, value: operation === 'delete' ? undefined : record.value });
    writes.push({ key, operation, sequence, epoch, number });
  }
  return { changes, writes, stale, unfit };
}
