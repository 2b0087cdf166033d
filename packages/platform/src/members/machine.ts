/**
 * Who is there, as one observer may judge it: a member whose record's revision has not changed for 3 refresh intervals
 * of the observer's own monotonic clock is suspect, after 5 it is gone. Pure. Two cases in which silence proves nothing
 * are taken out: while the observer's watch is interrupted, and when the observer itself did not run (a freeze).
 */
import type { MemberRecord } from './record.ts';

export type MemberHealth = 'alive' | 'suspect' | 'gone';

export const SUSPECT_AFTER_MISSED = 3;
export const GONE_AFTER_MISSED = 5;

export interface Member {
  readonly record: MemberRecord;
  readonly revision: number;
  readonly health: MemberHealth;
  /** Monotonic ms of the observer at which the present revision was first seen. */
  readonly seenAt: number;
}

export type MemberEvent =
  | { readonly type: 'joined'; readonly member: Member }
  /** It said goodbye, or another process took its id over. */
  | { readonly type: 'left'; readonly member: Member }
  | { readonly type: 'suspected'; readonly member: Member }
  | { readonly type: 'gone'; readonly member: Member }
  /** Heard of again after `suspected` or `gone`. */
  | { readonly type: 'recovered'; readonly member: Member }
  /** Labels, apps, address or cordon changed (not: load, lag and position, which change all the time). */
  | { readonly type: 'updated'; readonly member: Member }
  /** The watcher was too slow; `lost` events are missing. Read members() again. */
  | { readonly type: 'overflow'; readonly lost: number };

export class MembershipMachine {
  readonly #members = new Map<string, Member>();
  readonly #refreshMs: number;
  #tickedAt: number | undefined;
  /** False while nothing can be concluded from silence. */
  #watching = false;

  constructor(refreshMs: number) {
    this.#refreshMs = refreshMs;
  }

  members(): readonly Member[] {
    return [...this.#members.values()];
  }

  get(id: string): Member | undefined {
    return this.#members.get(id);
  }

  /** A record was seen under its id. An older revision than the known one is ignored. */
  observe(record: MemberRecord, revision: number, now: number): MemberEvent[] {
    const known = this.#members.get(record.id);
    if (known !== undefined && revision <= known.revision) return [];
    const member: Member = { record, revision, health: 'alive', seenAt: now };
    this.#members.set(record.id, member);
    if (known === undefined) return [{ type: 'joined', member }];
    if (known.record.incarnation !== record.incarnation)
      return [
        { type: 'left', member: known },
        { type: 'joined', member },
      ];
    if (known.health !== 'alive') return [{ type: 'recovered', member }];
    return shownFacts(known.record) === shownFacts(record) ? [] : [{ type: 'updated', member }];
  }

  removed(id: string): MemberEvent[] {
    const member = this.#members.get(id);
    if (member === undefined) return [];
    this.#members.delete(id);
    return [{ type: 'left', member }];
  }

  /** The watch broke: silence proves nothing until `synced`. */
  interrupted(): void {
    this.#watching = false;
  }

  /** The watch is complete again: everybody gets the full time from now on. */
  synced(now: number): void {
    if (!this.#watching) this.#restartClocks(now);
    this.#watching = true;
  }

  /** To be called at least once per refresh interval. */
  tick(now: number): MemberEvent[] {
    const slept = now - (this.#tickedAt ?? now);
    this.#tickedAt = now;
    // This process did not run: records that came meanwhile are still unread, and their age is ours, not theirs.
    if (slept > 2 * this.#refreshMs) this.#restartClocks(now);
    if (!this.#watching) return [];
    const events: MemberEvent[] = [];
    for (const member of this.#members.values()) {
      const missed = (now - member.seenAt) / this.#refreshMs;
      if (missed >= GONE_AFTER_MISSED && member.health !== 'gone') events.push(this.#judge(member, 'gone'));
      else if (missed >= SUSPECT_AFTER_MISSED && member.health === 'alive') events.push(this.#judge(member, 'suspect'));
    }
    return events;
  }

  #judge(member: Member, health: 'suspect' | 'gone'): MemberEvent {
    const judged: Member = { ...member, health };
    this.#members.set(member.record.id, judged);
    return { type: health === 'gone' ? 'gone' : 'suspected', member: judged };
  }

  #restartClocks(now: number): void {
    for (const [id, member] of this.#members) {
      if (member.health !== 'gone') this.#members.set(id, { ...member, seenAt: now });
    }
  }
}

/** What `updated` reports on, as comparable text. */
function shownFacts(record: MemberRecord): string {
  const apps = Object.entries(record.apps).map(([name, app]) => [
    name,
    app.role,
    app.epoch ?? null,
    app.serving,
    app.proxyAddress ?? null,
    app.problem ?? null,
  ]);
  return JSON.stringify([record.address, record.http ?? null, record.labels, record.cordoned, apps]);
}
