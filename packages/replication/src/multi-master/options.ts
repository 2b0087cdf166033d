/** The configuration of a master, and what becomes of it. */
import { type Duration, nameProblem, resolveOptions } from '@canopy/core';
import type { AtomicStore } from '../ports/atomic-store.ts';
import type { EventLog } from '../ports/event-log.ts';
import { isEventLog } from '../ports/event-log.ts';
import type { MultiMasterPipeline, Pipeline } from '../ports/pipeline.ts';
import type { SnapshotStore } from '../ports/snapshot-store.ts';
import type { StateManager } from '../ports/state-store.ts';
import { type ConflictStrategy, type MergeFn, STRATEGIES } from './policy.ts';

export interface MultiMasterConfig {
  /**
   * Unique among the masters, and never used by two processes at a time. With an event log 1 to 63 letters, digits, `-` and `_`.
   */
  readonly masterId: string;
  /** An `EventLog`, for durability and causal order across restarts; or what you have. */
  readonly pipeline: EventLog | MultiMasterPipeline | Pipeline;
  /** With an event log an `AtomicStore`; else a state manager. */
  readonly stateManager: AtomicStore | StateManager;
  /** Default `lww`: the last writer wins. */
  readonly conflictStrategy?: ConflictStrategy;
  /** For `custom`. Without it such conflicts wait for a decision, as with `manual`. */
  readonly mergeFn?: MergeFn;
  /** Events in memory that wait for earlier ones. With an event log they wait in the store, without a limit. Default 1000. */
  readonly eventBufferSize?: number;
  /** Bound on each call of a pipeline or state manager of yours. Default 5 s. */
  readonly applyTimeout?: Duration;
  /** Events that were written here and not sent; then writes throw MASTER_OUTBOX_FULL. Default 1,000,000 with a log, else 10,000. */
  readonly outboxLimit?: number;
  /** Events further ahead of the wall clock than this are held. Default 60 s. */
  readonly maxDrift?: Duration;
  /** Settled conflicts that `getConflicts()` remembers. Default 1000. */
  readonly conflictHistory?: number;
  /**
   * Only for a pipeline without a log. `baseline`: the first event of an unknown master that tells of others is taken as where this
   * one begins (reported as `resync`), because nobody may ever send what came before; causal order holds from there. `wait`: everything
   * from the first event on must come. Default `baseline`.
   */
  readonly join?: 'baseline' | 'wait';
  /** With a log: where snapshots lie, for masters that join late. */
  readonly snapshots?: SnapshotStore;
  /** With a log: how often this master tells what it has seen, when that changed; tombstones go by it. Default 30 s. */
  readonly reportInterval?: Duration;
  /**
   * With a log: how often the masters compare their states, as `compareState()` does; one of them asks for all. Each reads all of its store for
   * that, in slices. 0: never. Default 1 h.
   */
  readonly antiEntropyInterval?: Duration;
}

type Durations = 'applyTimeout' | 'maxDrift' | 'reportInterval' | 'antiEntropyInterval';

export interface MultiMasterSettings extends Omit<MultiMasterConfig, Durations> {
  readonly durable: boolean;
  /** The master's id where it is a name, for the hybrid clock. */
  readonly clockName: string;
  readonly conflictStrategy: ConflictStrategy;
  readonly eventBufferSize: number;
  readonly applyTimeoutMs: number;
  readonly outboxLimit: number;
  readonly maxDriftMs: number;
  readonly conflictHistory: number;
  readonly join: 'baseline' | 'wait';
  readonly reportIntervalMs: number;
  /** 0: never. */
  readonly antiEntropyIntervalMs: number;
}

/** Throws OPTIONS_INVALID. */
export function resolveMultiMaster(config: MultiMasterConfig): MultiMasterSettings {
  return resolveOptions('MultiMasterManager', config, (read) => {
    const masterId = read.string('masterId', { required: true, lengthMax: 256 });
    const pipeline = read.any<MultiMasterConfig['pipeline']>('pipeline', { required: true });
    const stateManager = read.any<MultiMasterConfig['stateManager']>('stateManager', { required: true });
    const mergeFn = read.any<MergeFn | undefined>('mergeFn');
    const snapshots = read.any<SnapshotStore | undefined>('snapshots');
    const durable = typeof pipeline === 'object' && pipeline !== null && isEventLog(pipeline);
    const problem = nameProblem('node', masterId);
    if (durable) {
      read.check(problem === undefined, 'masterId', `is not allowed: ${problem}`);
      read.check(
        isAtomicStore(stateManager),
        'stateManager',
        'must be an AtomicStore where the pipeline is an EventLog',
      );
    } else {
      read.check(typeof pipeline?.send === 'function', 'pipeline', 'must have a function "send"');
      read.check(isStateManager(stateManager), 'stateManager', 'must have the functions "get", "set" and "delete"');
    }
    read.check(mergeFn === undefined || typeof mergeFn === 'function', 'mergeFn', 'must be a function');
    return {
      masterId,
      pipeline,
      stateManager,
      durable,
      clockName: problem === undefined ? masterId : 'master',
      conflictStrategy: read.oneOf('conflictStrategy', STRATEGIES, { default: 'lww' }),
      ...(mergeFn === undefined ? {} : { mergeFn }),
      ...(snapshots === undefined ? {} : { snapshots }),
      eventBufferSize: read.integer('eventBufferSize', { default: 1000, min: 0 }),
      applyTimeoutMs: read.durationMs('applyTimeout', { default: 5000, minMs: 1 }),
      outboxLimit: read.integer('outboxLimit', { default: durable ? 1_000_000 : 10_000, min: 1 }),
      maxDriftMs: read.durationMs('maxDrift', { default: 60_000, minMs: 1 }),
      conflictHistory: read.integer('conflictHistory', { default: 1000, min: 1 }),
      join: read.oneOf('join', ['baseline', 'wait'], { default: 'baseline' }),
      reportIntervalMs: read.durationMs('reportInterval', { default: 30_000, minMs: 10 }),
      antiEntropyIntervalMs: read.durationMs('antiEntropyInterval', { default: 3_600_000, minMs: 0 }),
    };
  });
}

export function isAtomicStore(store: unknown): store is AtomicStore {
  return hasFunctions(store, ['get', 'commit', 'scan', 'count']);
}

function isStateManager(store: unknown): store is StateManager {
  return hasFunctions(store, ['get', 'set', 'delete']);
}

function hasFunctions(value: unknown, names: readonly string[]): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return names.every((name) => typeof (value as Record<string, unknown>)[name] === 'function');
}
