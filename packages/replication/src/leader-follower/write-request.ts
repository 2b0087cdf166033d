/** A write as the caller asks for it, and its answer. Refusals are answers; nothing is thrown for them. */
export type WriteOperation = 'create' | 'update' | 'delete';

export interface WriteRequest {
  /** 1 to 1024 bytes of UTF-8. */
  readonly key: string;
  /** What JSON can carry, and values that merge; on a log EVENT_INVALID for what would come back as something else. Of a delete it may be anything; the key is removed. */
  readonly value?: unknown;
  readonly operation: WriteOperation;
}

/**
 * When a write counts. `local`: it is on its way to the log, in order; `confirmed` tells what became of it. `stream` (default): the
 * log has it. `followers:n`: and n followers have applied it.
 */
export type WriteAck = 'local' | 'stream' | `followers:${number}`;

export interface WriteOptions {
  readonly ack?: WriteAck;
  /** Bound on the whole call, ms. Default: the manager's `writeTimeoutMs`. */
  readonly timeoutMs?: number;
}

/**
 * MANAGER_CLOSED, NOT_LEADER and FOLLOWER_READ_ONLY: nothing was done; `leaderId` is who to ask. STALE_LEADER: another leads, or this node
 * can't prove any more that it does. REPLICATION_FAILED: not acknowledged. ACK_INCOMPLETE: the log has it (don't repeat it), too
 * few followers have applied it in time. Others are codes of errors of the log and the store (EVENT_INVALID, STATE_STORE_FULL, …).
 */
export type WriteErrorCode =
  | 'MANAGER_CLOSED'
  | 'NOT_LEADER'
  | 'FOLLOWER_READ_ONLY'
  | 'STALE_LEADER'
  | 'REPLICATION_FAILED'
  | 'ACK_INCOMPLETE'
  | (string & {});

export interface WriteResult {
  readonly success: boolean;
  readonly error?: string;
  readonly errorCode?: WriteErrorCode;
  /** Of a refusal: the leader as far as known. */
  readonly leaderId?: string;
  readonly sequence?: number;
  /** Of a success: what a session has to have seen; opaque text. */
  readonly token?: string;
  /** The outcome could not be learned: the write may still show. */
  readonly unknown?: boolean;
  /** With `ack: 'local'`: the answer that `stream` would have given. Never rejects. */
  readonly confirmed?: Promise<WriteResult>;
}
