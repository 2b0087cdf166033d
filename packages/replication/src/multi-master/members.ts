/**
 * Who takes part, as the log tells it: joined and left by events in the log's order, so all masters agree at each position. Pure.
 * Each life of a master's store has an incarnation; once the log has announced a newer one, events of older ones count no more.
 * Newer is who knew of the life it replaces: an announcement by one that began before the present life announced itself, counts for
 * nobody, however late the log takes it. So none that may write is ever replaced by one that had been given up for it. Who leaves is a
 * life as well: a master that has come back meanwhile stays.
 * Invariant of `stable`: no event that has not seen all of it is still to come.
 */
import type { LogEvent } from '../ports/event-log.ts';
import type { CausalOrder } from './causal-order.ts';
import { type ClockRecord, readClock } from './event.ts';

export interface MemberState {
  readonly incarnation: string;
  readonly active: boolean;
  /** Where its announcement is in the log; absent in what was stored before this was kept. */
  readonly joinedAt?: number;
  /** What it said to have seen, last. */
  readonly clock?: ClockRecord;
  /** When the log took that report, by the log's clock, ms. */
  readonly reportedAt?: number;
  /** How far the member's hybrid time then was ahead of the log's clock, ms; negative: behind, or slow to send. */
  readonly aheadMs?: number;
}

export interface MemberStatus extends MemberState {
  readonly masterId: string;
}

/** Announcements, as they travel. Do not change. */
export type MemberEvent =
  | {
      readonly type: 'join';
      readonly masterId: string;
      readonly incarnation: string;
      /** The last event of the log when this life took its identity. Without it the announcement counts in any case. */
      readonly since?: number;
    }
  | {
      readonly type: 'leave';
      readonly masterId: string;
      readonly by: string;
      /** Which life leaves. Without it whichever there is. */
      readonly incarnation?: string;
    }
  | {
      readonly type: 'report';
      readonly masterId: string;
      readonly incarnation: string;
      readonly vectorClock: ClockRecord;
      readonly timestamp: number;
    };

export type MembersState = Readonly<Record<string, MemberState>>;

export function isMemberEvent(event: unknown): event is MemberEvent {
  const { type, masterId } = (event ?? {}) as Partial<MemberEvent>;
  return typeof masterId === 'string' && (type === 'join' || type === 'leave' || type === 'report');
}

export class Members {
  readonly #members = new Map<string, MemberState>();

  constructor(state: MembersState = {}) {
    for (const [masterId, member] of Object.entries(state)) this.#members.set(masterId, member);
  }

  /** An event of the log at this position. Throws MASTER_EVENT_INVALID for a report without a clock. */
  apply(event: MemberEvent, { sequence, storedAt }: Pick<LogEvent, 'sequence' | 'storedAt'>): void {
    const { masterId } = event;
    const known = this.#members.get(masterId);
    if (event.type === 'join') {
      if (known?.incarnation === event.incarnation && known.active) return;
      if (!succeeds(event, known)) return;
      this.#members.set(masterId, { incarnation: event.incarnation, active: true, joinedAt: sequence });
    } else if (event.type === 'leave') {
      if (known === undefined || (event.incarnation ?? known.incarnation) !== known.incarnation) return;
      const { incarnation, joinedAt = 0 } = known;
      this.#members.set(masterId, { incarnation, active: false, joinedAt });
    } else if (known?.active && known.incarnation === event.incarnation) {
      const clock = readClock(event.vectorClock);
      const aheadMs = event.timestamp - storedAt;
      this.#members.set(masterId, { ...known, clock, reportedAt: storedAt, aheadMs });
    }
  }

  get(masterId: string): MemberState | undefined {
    return this.#members.get(masterId);
  }

  /** False for what an earlier life wrote, or one that has left. A master that was never announced is taken as it is. */
  accepts(masterId: string, incarnation: string | undefined): boolean {
    const known = this.#members.get(masterId);
    return known === undefined || (known.active && known.incarnation === incarnation);
  }

  list(): MemberStatus[] {
    return [...this.#members]
      .map(([masterId, member]) => ({ masterId, ...member }))
      .sort((a, b) => (a.masterId < b.masterId ? -1 : 1));
  }

  /**
   * What all active members have seen, when also all that they had written by then has come here; undefined while one of
   * them has not reported. `self` need not report to itself.
   */
  stable(self: string, order: CausalOrder): ClockRecord | undefined {
    const stable = order.record();
    for (const [masterId, { active, clock }] of this.#members) {
      if (!active || masterId === self) continue;
      if (clock === undefined || order.seen(masterId) < (clock[masterId] ?? 0)) return undefined;
      for (const author of Object.keys(stable)) stable[author] = Math.min(stable[author] as number, clock[author] ?? 0);
    }
    return stable;
  }

  toJSON(): MembersState {
    return Object.fromEntries(this.#members);
  }
}

/** Whether it knew of the life that the log announced last, or there was none. */
function succeeds({ since }: Extract<MemberEvent, { type: 'join' }>, known: MemberState | undefined): boolean {
  return since === undefined || since >= (known?.joinedAt ?? 0);
}
