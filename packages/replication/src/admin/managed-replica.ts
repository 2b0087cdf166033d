/**
 * What can be asked of a replica from outside. Every manager is one through an adapter; what a kind of replica has not, it leaves out, and the
 * responder says so. Everything returned is plain data: it crosses processes as JSON.
 */
import type { HybridClockStatus } from '../clock/hybrid-clock.ts';
import type { SubscriberProgress } from '../event-subscriber/progress.ts';
import type { RecoveryProgress } from '../leader-follower/recovery-progress.ts';
import type { LeaderFollowerStatus } from '../leader-follower/status.ts';

export interface FollowingStatus extends LeaderFollowerStatus {
  readonly kind: 'leader-follower';
}

export interface MasterStatus {
  readonly kind: 'master';
  readonly masterId: string;
  readonly durable: boolean;
  readonly strategy: string;
  readonly eventsApplied: number;
  /** Events of others that wait for earlier ones, or for their time. */
  readonly waiting: number;
  /** Own events that are not sent yet. */
  readonly unsent: number;
  /** Events held because they lay too far in the future. */
  readonly rejected: number;
  readonly conflictsDetected: number;
  readonly pendingConflicts: number;
  /** Conflicts per applied event since the start, 0 to 1. */
  readonly conflictRate: number;
  /** How many events of each master this one shows. */
  readonly vectorClock: Readonly<Record<string, number>>;
  readonly lastError: string | undefined;
}

export interface SubscriberStatus {
  readonly kind: 'subscriber';
  readonly eventsProcessed: number;
  readonly topics: readonly SubscriberProgress[];
}

export type ReplicaStatus = FollowingStatus | MasterStatus | SubscriberStatus;

export interface ConflictSide {
  readonly masterId: string;
  /** Null: this version deletes. */
  readonly data: Readonly<Record<string, unknown>> | null;
  readonly vectorClock: Readonly<Record<string, number>>;
  /** Wall clock of its author, Unix ms. */
  readonly timestamp: number;
}

export interface ReplicaConflict {
  readonly entityId: string;
  /** Unix ms by this replica's wall clock. */
  readonly detectedAt: number;
  readonly versions: readonly ConflictSide[];
  /** It waits for somebody to decide. */
  readonly pending: boolean;
}

export interface HotSpot {
  readonly entityId: string;
  readonly conflicts: number;
  /** By so much the count may be too high. */
  readonly atMost: number;
}

export interface ReplicaClock {
  readonly self: HybridClockStatus;
  /** What this replica learned of others through the log. */
  readonly members: readonly { readonly masterId: string; readonly aheadMs?: number | undefined }[];
}

export interface ManagedReplica {
  readonly node: string;
  readonly kind: ReplicaStatus['kind'];
  /** Other nodes that it believes to take part. */
  knows(): readonly string[];
  status(): Promise<ReplicaStatus> | ReplicaStatus;
  /** All that it remembers, or those of one entity. */
  conflicts?(entityId?: string): Promise<readonly ReplicaConflict[]>;
  /** Decides for all masters. Null deletes. */
  resolve?(entityId: string, data: Readonly<Record<string, unknown>> | null): Promise<void>;
  hot?(limit: number): readonly HotSpot[];
  clock?(): ReplicaClock;
  /** Reads again what it may have missed; resolves when it has what there was when it was called. */
  resync?(signal: AbortSignal): Promise<void>;
  /**
   * Throws the state away and makes it anew from what the others have. What only this replica has keeps it from that (RECOVERY_REFUSED), unless
   * `discard`. Undefined: it can't.
   */
  readonly rebuild?: ((signal: AbortSignal, discard: boolean) => Promise<void>) | undefined;
  /** How far a recovery is; of `resync` and of a rebuilding by the program. Absent: can't be told. */
  progress?(): RecoveryProgress;
  addMember?(node: string): Promise<void>;
  removeMember?(node: string): Promise<void>;
}
