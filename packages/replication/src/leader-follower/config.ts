/** What a `LeaderFollowerManager` is told, and what it makes of it. */
import { type OptionReader, resolveOptions } from '@canopy/core';
import type { HeartbeatService } from '../ports/heartbeat-service.ts';
import type { LeaderElection } from '../ports/leadership.ts';
import type { FollowerPipeline } from '../ports/pipeline.ts';
import type { SnapshotStore } from '../ports/snapshot-store.ts';
import type { StateStore } from '../ports/state-store.ts';
import type { ProgressChannel } from './progress-channel.ts';
import type { ReplicationRole } from './replication-role.ts';

/** A lock among processes, of the caller's. */
export interface DistributedLockService {
  /** The fencing token, or null when another node holds it. */
  tryAcquireLock(nodeId: string): Promise<unknown>;
  releaseLock(nodeId: string): Promise<boolean>;
  /** Asked before each write where it exists: another node's id refuses the write. */
  getCurrentHolder?(): Promise<string | null> | string | null;
  getFencingToken?(): unknown;
}

/** Whether enough of the cluster agrees. */
export type QuorumCallback = (nodeId: string, action: 'promote' | 'demote') => Promise<boolean> | boolean;

export interface SnapshotSettings {
  readonly store: SnapshotStore;
  /** Whether this node takes them, or only starts from them. Default true. */
  readonly take?: boolean;
  /** Default 10,000. */
  readonly everyEvents?: number;
  /** Of the records' JSON. Default 64 MiB. */
  readonly everyBytes?: number;
  /** How many snapshots stay. Default 2. */
  readonly keep?: number;
  /** Events that stay in the log behind a snapshot, for replicas that are a little behind. Default 1000; `false`: the log is never trimmed. */
  readonly keepEvents?: number | false;
}

export interface LeaderFollowerConfig {
  readonly nodeId: string;
  readonly role: ReplicationRole;
  /** An `EventLog` gets all guarantees of DESIGN.md; a plain pipeline those that it can give. */
  readonly pipeline: FollowerPipeline;
  /** A `DurableStateStore` resumes where it was; any other one is filled from the log, or from `lastAppliedSequence` on. */
  readonly stateStore: StateStore;
  readonly namespace: string;
  /** Of a follower: whom to name until the leader is known. */
  readonly leaderId?: string;
  readonly heartbeatService?: HeartbeatService;
  /** Default 1000; the first beat comes after one interval. */
  readonly heartbeatIntervalMs?: number;
  /** Default 5000. Kept for whoever asks; the heartbeat service judges. */
  readonly heartbeatTimeoutMs?: number;
  /** Default 30,000. */
  readonly maxStalenessMs?: number;
  /** Of stores that don't remember it. Default 0. */
  readonly lastAppliedSequence?: number;
  /** Default true. */
  readonly promotionEligible?: boolean;
  readonly distributedLock?: DistributedLockService;
  readonly quorumCallback?: QuorumCallback;
  /** After this a lock inside the process that was not refreshed by a write may be taken. Default 30,000. */
  readonly lockTimeoutMs?: number;
  /** Proof of leadership: `Election` of `@canopy/election` fits. Checked before every write. */
  readonly election?: LeaderElection;
  /** `promote()` without election, lock or quorum callback. Default false: NO_QUORUM. Two nodes that do it take turns in deposing each other. */
  readonly allowUnprovenPromotion?: boolean;
  /** Compatibility: `forcePromote()` does what its name says, see `unsafeForcePromote()`. Default false: it throws PROMOTION_REFUSED. */
  readonly unsafeForcePromotion?: boolean;
  /** Bound on a write, 50 to 600,000. Default 5000. */
  readonly writeTimeoutMs?: number;
  /** Writes on their way; more are refused. Default 1000. */
  readonly maxPendingWrites?: number;
  /** Out-of-order events held, on a plain pipeline. Default 10,000. */
  readonly reorderBufferSize?: number;
  /** How long an event may be awaited before it is asked for again, on a plain pipeline. Default 1000. */
  readonly gapTimeoutMs?: number;
  /** Events in one commit, on a log. Default 500. */
  readonly applyBatchSize?: number;
  readonly snapshots?: SnapshotSettings;
  /** Where followers report to; needed by `ack: 'followers:n'` across processes. */
  readonly progress?: ProgressChannel;
}

/** @internal */
export interface ResolvedConfig {
  readonly nodeId: string;
  readonly role: ReplicationRole;
  readonly pipeline: FollowerPipeline;
  readonly stateStore: StateStore;
  readonly namespace: string;
  readonly leaderId: string | undefined;
  readonly heartbeatService: HeartbeatService | undefined;
  readonly heartbeatIntervalMs: number;
  readonly heartbeatTimeoutMs: number;
  readonly maxStalenessMs: number;
  readonly lastAppliedSequence: number;
  readonly promotionEligible: boolean;
  readonly distributedLock: DistributedLockService | undefined;
  readonly quorumCallback: QuorumCallback | undefined;
  readonly lockTimeoutMs: number;
  readonly election: LeaderElection | undefined;
  readonly allowUnprovenPromotion: boolean;
  readonly unsafeForcePromotion: boolean;
  readonly writeTimeoutMs: number;
  readonly maxPendingWrites: number;
  readonly reorderBufferSize: number;
  readonly gapTimeoutMs: number;
  readonly applyBatchSize: number;
  readonly snapshots: Required<SnapshotSettings> | undefined;
  readonly progress: ProgressChannel | undefined;
}

/** Throws OPTIONS_INVALID. */
export function resolveConfig(config: LeaderFollowerConfig): ResolvedConfig {
  return resolveOptions('leader-follower manager', config, (reader) => {
    const pipeline = reader.any<FollowerPipeline>('pipeline', { required: true });
    const stateStore = reader.any<StateStore>('stateStore', { required: true });
    reader.check(has(pipeline, ['send']), 'pipeline', 'must have a function "send"');
    const port = <T>(field: string, members: readonly string[]): T | undefined => {
      const value = reader.any<T | undefined>(field);
      const names = members.map((member) => `"${member}"`).join(' and ');
      reader.check(value === undefined || has(value, members), field, `must be an object with functions ${names}`);
      return value;
    };
    const storeProblem = 'must have functions "get", "set" and "delete"';
    reader.check(has(stateStore, ['get', 'set', 'delete']), 'stateStore', storeProblem);
    const quorumCallback = reader.any<QuorumCallback | undefined>('quorumCallback');
    const isCallable = quorumCallback === undefined || typeof quorumCallback === 'function';
    reader.check(isCallable, 'quorumCallback', 'must be a function');
    const election = reader.any<LeaderElection | undefined>('election');
    const isElection =
      election === undefined || (typeof election === 'object' && election !== null && 'leadership' in election);
    reader.check(isElection, 'election', 'must be an object with "leadership"');
    return {
      nodeId: reader.string('nodeId', { required: true, lengthMax: 256 }),
      role: reader.oneOf('role', ['leader', 'follower'], { required: true }),
      pipeline,
      stateStore,
      namespace: reader.string('namespace', { required: true, lengthMax: 256 }),
      leaderId: reader.optionalString('leaderId'),
      heartbeatService: port<HeartbeatService>('heartbeatService', ['sendHeartbeat', 'onLeaderStatus']),
      heartbeatIntervalMs: reader.durationMs('heartbeatIntervalMs', { default: 1000, minMs: 1 }),
      heartbeatTimeoutMs: reader.durationMs('heartbeatTimeoutMs', { default: 5000 }),
      maxStalenessMs: reader.durationMs('maxStalenessMs', { default: 30_000 }),
      lastAppliedSequence: reader.integer('lastAppliedSequence', { default: 0, min: 0 }),
      promotionEligible: reader.boolean('promotionEligible', { default: true }),
      distributedLock: port<DistributedLockService>('distributedLock', ['tryAcquireLock', 'releaseLock']),
      quorumCallback,
      lockTimeoutMs: reader.durationMs('lockTimeoutMs', { default: 30_000 }),
      election,
      allowUnprovenPromotion: reader.boolean('allowUnprovenPromotion', { default: false }),
      unsafeForcePromotion: reader.boolean('unsafeForcePromotion', { default: false }),
      writeTimeoutMs: reader.durationMs('writeTimeoutMs', { default: 5000, minMs: 50, maxMs: 600_000 }),
      maxPendingWrites: reader.integer('maxPendingWrites', { default: 1000, min: 1 }),
      reorderBufferSize: reader.integer('reorderBufferSize', { default: 10_000, min: 0 }),
      gapTimeoutMs: reader.durationMs('gapTimeoutMs', { default: 1000, minMs: 1 }),
      applyBatchSize: reader.integer('applyBatchSize', { default: 500, min: 1 }),
      snapshots: reader.object('snapshots', readSnapshots),
      progress: port<ProgressChannel>('progress', ['report', 'subscribe']),
    };
  });
}

function has(value: unknown, members: readonly string[]): boolean {
  const all = value as Record<string, unknown> | null | undefined;
  return members.every((member) => typeof all?.[member] === 'function');
}

function readSnapshots(reader: OptionReader): Required<SnapshotSettings> {
  const keepEvents = reader.any<unknown>('keepEvents', { default: 1000 });
  reader.check(
    keepEvents === false || (Number.isSafeInteger(keepEvents) && (keepEvents as number) >= 0),
    'keepEvents',
    'must be a whole number, at least 0, or false',
  );
  const store = reader.any<SnapshotStore>('store', { required: true });
  reader.check(
    has(store, ['put', 'latest', 'read', 'prune']),
    'store',
    'must have functions "put", "latest", "read" and "prune"',
  );
  return {
    store,
    take: reader.boolean('take', { default: true }),
    everyEvents: reader.integer('everyEvents', { default: 10_000, min: 1 }),
    everyBytes: reader.integer('everyBytes', { default: 64 * 1024 * 1024, min: 1 }),
    keep: reader.integer('keep', { default: 2, min: 1 }),
    keepEvents: keepEvents as number | false,
  };
}
