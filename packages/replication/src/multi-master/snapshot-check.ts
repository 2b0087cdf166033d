/**
 * Whether a snapshot has what is in a master's outbox under the numbers that it has seen: where the log is trimmed away nothing else tells a store
 * that is an older copy of itself. Each of these events touched its entity, so the snapshot's record of that one has seen it; only a delete that
 * was forgotten by all leaves nothing. Where a later event replaced it, it can't be told from another one under its number.
 */
import { type EntityRecord, versionOf } from './entity-record.ts';
import { type ClockRecord, type MasterEvent, readMasterEvent } from './event.ts';
import type { NumberedEvent } from './event-pack.ts';
import type { MasterCore } from './master-core.ts';
import type { MembersState } from './members.ts';
import { isSameJson } from './outbox.ts';

export interface SnapshotClaims {
  readonly order: { readonly seen: ClockRecord };
  readonly members: MembersState;
  readonly collected: ClockRecord;
}

export class SnapshotCheck {
  /** By entity, those that no record has shown yet. */
  readonly #open = new Map<string, NumberedEvent[]>();

  constructor({ self, outbox, unsent }: MasterCore, { order, members, collected }: SnapshotClaims) {
    if (self === undefined || self.joinedAt === 0) return;
    const { masterId, incarnation } = self;
    // A snapshot of another life is no contradiction: that this life has ended is found out elsewhere.
    if (members[masterId]?.incarnation !== incarnation) return;
    for (const each of outbox.after(collected[masterId] ?? 0, unsent)) {
      if (each.number > (order.seen[masterId] ?? 0)) break;
      const { entityId } = each.event;
      this.#open.set(entityId, [...(this.#open.get(entityId) ?? []), each]);
    }
  }

  /** The snapshot has this. */
  record(id: string, { seen, versions }: EntityRecord): void {
    const open = this.#open.get(id);
    if (open === undefined) return;
    const left = open.filter(({ number, event }) => {
      if ((seen[event.masterId] ?? 0) < number) return true;
      const version = versions.find((each) => each.author === event.masterId && each.number === number);
      return version !== undefined && !isSameJson(version, versionLike(event, version.version));
    });
    if (left.length > 0) this.#open.set(id, left);
    else this.#open.delete(id);
  }

  /** The first number under which it has something else; undefined when there is none. */
  get contradiction(): number | undefined {
    const numbers = [...this.#open.values()].map(([first]) => first?.number ?? 0);
    return numbers.length === 0 ? undefined : numbers.reduce((a, b) => Math.min(a, b));
  }
}

function versionLike(event: MasterEvent, version: number) {
  return versionOf(readMasterEvent(event), version);
}
