/** What a manager of masters tells of itself. */
import type { HybridClockStatus } from '../clock/hybrid-clock.ts';
import type { MemberStatus } from './members.ts';
import type { ReplicaCounts } from './replica.ts';

/** Shape and names as programs know them; more is in `getStatus()`. */
export interface MultiMasterMetrics {
  readonly writesLocal: number;
  readonly eventsApplied: number;
  readonly conflictsDetected: number;
  /** Events that wait for earlier ones. */
  readonly eventBufferSize: number;
  readonly vectorClockNodes: number;
}

export interface MultiMasterStatus extends ReplicaCounts {
  readonly masterId: string;
  readonly durable: boolean;
  readonly pendingConflicts: number;
  /** Conflicts per applied event since the start, 0 to 1. */
  readonly conflictRate: number;
  readonly vectorClock: Record<string, number>;
}

export interface ClockReport {
  readonly self: HybridClockStatus;
  /** With a log: what the other masters reported. `aheadMs` above zero: that one's clock runs ahead of the log's. */
  readonly members: readonly MemberStatus[];
}
