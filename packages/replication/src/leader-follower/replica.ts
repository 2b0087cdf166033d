/** What the two replicas, on a plain pipeline and on a log, have in common for the manager above them. */
import type { ManagerEvents } from './events.ts';
import type { RecoveryProgress } from './recovery-progress.ts';
import type { WriteRequest } from './write-request.ts';

/** Whom a replica tells. */
export interface ReplicaHost {
  /** Writes of the leader that this replica shows from now on; `position` is where it stands. */
  applied(writes: readonly ManagerEvents['eventApplied'][], position: number): void;
  /** A write of this node counts. */
  written(write: ManagerEvents['write']): void;
  leaderSeen(leaderId: string, epoch: number): void;
  gap(gap: ManagerEvents['gap']): void;
  /** A record of the log that no store can hold was passed over. */
  skipped(record: ManagerEvents['recordSkipped']): void;
  recovered(events: number, ms: number): void;
  /** Another leads now. */
  deposed(leaderId: string | undefined, epoch: number): void;
  failed(error: Error, during: string): void;
}

/** What came of handing a write to the pipeline. */
export interface HandedWrite {
  /** Of a log: what it gets if nothing comes between. */
  readonly sequence: number;
  /** Resolves with the sequence when it counts. Rejects with a `CanopyError`; `unknown: true` in its fields when it may still show. */
  readonly done: Promise<number>;
}

export interface RebuildOptions {
  readonly signal?: AbortSignal | undefined;
  /** Throws away also what nobody else may have: events that are in no log, a state of a log that was made anew. Default false. */
  readonly discard?: boolean;
}

export interface Replica {
  /** The last sequence that this replica shows. */
  readonly applied: number;
  /** The greatest sequence that it knows of. */
  readonly end: number;
  /** The greatest epoch that it was shown. */
  readonly epoch: number;
  /** When the log was made, Unix ms; 0: not known, or a plain pipeline. */
  readonly logId: number;
  readonly recovery: RecoveryProgress;
  /** Events that are known to be there and not applied yet. */
  behind(): number;
  /** How long ago this replica was certainly up to date. */
  ageMs(): number;
  /** Follows, and catches up where that can be done at once. Resolves with the events that this brought. */
  follow(): Promise<number>;
  unfollow(): Promise<void>;
  /** As far as the pipeline can be read now; of a log it is what the follower does anyway. */
  catchUp(from?: number): Promise<number>;
  /** As `lead`, for a node that was constructed as leader. */
  begin(epoch: number, mayLead: () => boolean): Promise<number>;
  /**
   * Becomes the one that writes: reads to the end and claims it. Returns the epoch, at least `epoch`. `mayLead` is asked between the two. Throws
   * NO_QUORUM when it says no.
   */
  lead(epoch: number, mayLead: () => boolean): Promise<number>;
  /** Ends the term; what is under way is answered. */
  resign(): Promise<void>;
  /** Throws when it can't be taken. */
  write(request: WriteRequest, timeoutMs: number): Promise<HandedWrite>;
  close(): Promise<void>;
}
