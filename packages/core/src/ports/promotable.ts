/**
 * The port of a replicated database as the platform knows it: it follows as a standby, is promoted to primary under an
 * epoch, and is demoted again, in place. `sqlite` implements it; the platform never sees more than this.
 */
import type { Env } from '../observe/env.ts';
import type { ConnectionSpec } from '../values/connection-spec.ts';
import type { Epoch } from '../values/epoch.ts';
import type { Position } from '../values/position.ts';
import type { ProcessGuard } from './process-guard.ts';

/** What the platform gives a database when it opens it. */
export interface DatabaseContext {
  readonly platform: string;
  readonly app: string;
  readonly node: string;
  /** For processes that need connections of their own. */
  readonly connection: ConnectionSpec;
  readonly env: Env;
  readonly guard: ProcessGuard;
}

/** The value a user hands to an app as `database`. */
export interface DatabaseProvider {
  /** "sqlite": for status and log lines. */
  readonly kind: string;
  /** Cheap: validates, no I/O. */
  open(context: DatabaseContext): Promotable;
}

export type DatabaseRole = 'closed' | 'opening' | 'standby' | 'promoting' | 'primary' | 'demoting' | 'failed';

/** How far behind the log's end; of a primary, how far the log is behind what is committed. Unknown is undefined, never 0. */
export interface DatabaseLag {
  readonly tx: number | undefined;
  readonly ms: number | undefined;
  readonly bytes: number | undefined;
}

/** A condition that lasts, such as a setting of the log's bucket. */
export interface DatabaseWarning {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

/** How far the making of a file from the log is, in the bytes that are read. */
export interface BootstrapProgress {
  readonly doneBytes: number;
  readonly totalBytes: number | undefined;
  /** Of the last seconds. Unknown in the first moments. */
  readonly bytesPerSecond?: number | undefined;
  readonly leftMs?: number | undefined;
}

/** Always answers at once, from memory. */
export interface DatabaseStatus {
  readonly role: DatabaseRole;
  readonly path: string;
  readonly position: Position;
  /** The log's end as last seen. */
  readonly logEnd: Position | undefined;
  readonly lag: DatabaseLag;
  readonly sizeBytes: number | undefined;
  /** When the newest full snapshot was stored, Unix ms. */
  readonly lastSnapshotAt: number | undefined;
  /**
   * When the full copy was stored that the log itself begins with, Unix ms: a restore can begin with it as with a snapshot.
   * Absent: there is none, or it is not known.
   */
  readonly firstCopyAt?: number | undefined;
  /** Present while the file is made from the log. */
  readonly bootstrap?: BootstrapProgress;
  /** When a restore from the log was last proven to give a sound database, by any node, Unix ms. */
  readonly lastVerifiedAt: number | undefined;
  /** What is not as it should be without being a problem yet, each with what to do. Absent: nothing. */
  readonly warnings?: readonly DatabaseWarning[];
  /** Directories in which divergent commits were kept, newest last. */
  readonly divergences: readonly string[];
  /** Why it is `failed` or stalled. */
  readonly problem: string | undefined;
  /** What to do about the problem. Absent: not known. */
  readonly hint?: string | undefined;
}

/** Steps of a promotion, each with its time, for the audit timeline. */
export type DatabaseEvent =
  | { readonly type: 'role_changed'; readonly role: DatabaseRole; readonly position: Position }
  | { readonly type: 'promotion_started'; readonly epoch: Epoch; readonly position: Position }
  | {
      readonly type: 'wal_catchup_completed';
      readonly position: Position;
      readonly applied: number;
      readonly ms: number;
    }
  | { readonly type: 'epoch_claimed'; readonly position: Position; readonly ms: number }
  | { readonly type: 'database_verified'; readonly method: string; readonly ms: number }
  | { readonly type: 'promotion_completed'; readonly position: Position; readonly ms: number }
  | {
      readonly type: 'divergence_kept';
      readonly directory: string;
      readonly from: Position;
      readonly rows: number | undefined;
    }
  | { readonly type: 'snapshot_created'; readonly position: Position; readonly bytes: number; readonly ms: number }
  | ({ readonly type: 'bootstrap_progress' } & BootstrapProgress)
  /** The log was restored into a scratch file, which passed its checks. */
  | {
      readonly type: 'restore_verified';
      readonly position: Position;
      readonly method: string;
      readonly bytes: number;
      readonly ms: number;
    }
  /** A standby: the log is known to hold more than `position`, and nothing was applied for `sinceMs`. */
  | { readonly type: 'stalled'; readonly position: Position; readonly sinceMs: number }
  /** A standby at `position`: the log can't be seen for `sinceMs` already, because of `reason`, so it may have moved on. */
  | {
      readonly type: 'following_interrupted';
      readonly position: Position;
      readonly sinceMs: number;
      readonly reason: string;
    }
  /** It is over, after `ms`: the log is seen again. */
  | { readonly type: 'following_resumed'; readonly position: Position; readonly ms: number }
  /** NATS is away, and what was committed after `position` waits in the file for `sinceMs` already. */
  | { readonly type: 'shipping_interrupted'; readonly position: Position; readonly sinceMs: number }
  /** It is over: `position`, which has waited for `ms`, is in the log, and what came after it follows. */
  | { readonly type: 'shipping_resumed'; readonly position: Position; readonly ms: number }
  /** Not as it should be. The database logs it itself: whoever hears of it here need not. */
  | {
      readonly type: 'warning';
      readonly code: string;
      readonly message: string;
      /** What to do about it, where that is known. */
      readonly hint?: string | undefined;
    }
  /** The log refused this primary: another epoch owns it. Must be answered by stepping down. */
  | { readonly type: 'fenced'; readonly epoch: Epoch; readonly position: Position }
  | { readonly type: 'failed'; readonly error: Error };

export interface AdminRequest {
  readonly op: string;
  readonly [argument: string]: unknown;
}

export interface PromoteOptions {
  readonly epoch: Epoch;
  /** Aborts when leadership is lost; the promotion is undone. */
  readonly signal: AbortSignal;
}

/** What a commit has to have reached: a quorum of the log's servers (default), and n standbys beside. */
export type Durability = 'replicated' | { readonly applied: number };

export interface SyncOptions {
  readonly signal?: AbortSignal | undefined;
  readonly durability?: Durability | undefined;
}

export interface Promotable {
  /** Opens the database and follows the log as a standby; resolves once it follows (bootstrap included). */
  start(options?: { signal?: AbortSignal | undefined }): Promise<void>;
  /**
   * Catches up to the log's end, claims it with the epoch, verifies, and makes the file writable. Resolves when a
   * backend may write. On failure it is a standby again (or `failed`) and the promise rejects.
   */
  promote(options: PromoteOptions): Promise<Position>;
  /**
   * Stops being primary: ships everything committed (unless fenced) and follows again. The backend must be gone already.
   * Resolves in two steps: `shipped` when successors can have everything, the returned promise when it follows.
   */
  demote(options?: { onShipped?: (position: Position) => void }): Promise<void>;
  /**
   * Everything committed before the call is durably in the log when this resolves; with `{applied: n}` also readable in the
   * files of n standbys that were alive during the call. Rejects when fenced or not primary, and, when the signal aborts
   * before enough standbys have it, with an error that says how many had.
   */
  sync(options?: SyncOptions): Promise<Position>;
  /**
   * Resolves once this node has applied `position`, which may be long past: later epochs include it. Rejects when the log
   * shows that the position is of another history.
   */
  waitFor(position: Position, options?: { signal?: AbortSignal | undefined }): Promise<void>;
  /**
   * Administration of an open database: `op` says what, the rest are its arguments; the answer is plain data. Which ones
   * there are is the implementation's business. Absent where there are none.
   */
  admin?(request: AdminRequest, options?: { signal?: AbortSignal | undefined }): Promise<unknown>;
  status(): DatabaseStatus;
  watch(options?: { signal?: AbortSignal | undefined }): AsyncIterable<DatabaseEvent>;
  stop(): Promise<void>;
}
