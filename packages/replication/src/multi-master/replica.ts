/** What a manager needs of either kind of replica: the one on a caller's pipeline and store, and the durable one. */
import type { HybridClockStatus } from '../clock/hybrid-clock.ts';
import type { Entity } from '../ports/state-store.ts';
import type { ConflictBook } from './conflict-book.ts';
import type { ClockRecord } from './event.ts';
import type { MemberStatus } from './members.ts';

export interface LocalWrite {
  readonly entityId: string;
  /** From what shows at present to what shall be; null: deleted. */
  readonly change: (present: Entity | undefined) => Record<string, unknown> | null;
  readonly resolution?: boolean;
  /** `$type` of an entity that is made by this write. Default: that of the data. */
  readonly entityType?: string;
  readonly ack?: 'local' | 'log';
  /** Of `ack: 'log'`, ms. */
  readonly timeoutMs?: number;
}

export interface ApplyResult {
  readonly success: boolean;
  readonly isConflict?: boolean;
  readonly error?: string;
}

export interface ReplicaCounts {
  readonly eventsApplied: number;
  readonly waiting: number;
  readonly unsent: number;
  readonly duplicates: number;
  readonly rejected: number;
  readonly evicted: number;
  readonly invalid: number;
}

export interface Replica {
  readonly conflicts: ConflictBook;
  /** Resolves when it is stored here, and `queued` when it is known not to be under way. */
  write(write: LocalWrite): Promise<{ readonly queued: boolean }>;
  get(entityId: string): Promise<Entity | null>;
  apply(event: unknown): Promise<ApplyResult>;
  subscribe(): Promise<void>;
  sync(): Promise<void>;
  clock(): ClockRecord;
  counts(): ReplicaCounts;
  clockStatus(): HybridClockStatus;
  members(): readonly MemberStatus[];
  /** A text that is equal on masters with equal state. */
  stateHash(): Promise<string>;
  close(): Promise<void>;
}

/** `$type` of an entity that this write makes. */
export function typeOf({ entityType }: LocalWrite, data: Record<string, unknown> | null): string {
  return entityType ?? (typeof data?.$type === 'string' && data.$type !== '' ? data.$type : 'Entity');
}
