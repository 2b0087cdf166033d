/** What a write of this master becomes: numbered, with all that this master has seen, and later than what it replaces. */
import type { HybridClock } from '../clock/hybrid-clock.ts';
import type { Entity } from '../ports/state-store.ts';
import type { CausalOrder } from './causal-order.ts';
import type { SelfState } from './durable-state.ts';
import type { EntityRecord } from './entity-record.ts';
import type { Change } from './event.ts';
import { type LocalWrite, typeOf } from './replica.ts';
import { stampAfter } from './stamps.ts';

export interface WriteContext {
  readonly before: EntityRecord | undefined;
  /** What shows of it. */
  readonly present: Entity | undefined;
  readonly order: CausalOrder;
  readonly clock: HybridClock;
}

export function ownChange(write: LocalWrite, self: SelfState, { before, present, ...own }: WriteContext): Change {
  const { entityId, resolution = false } = write;
  const data = write.change(present);
  const { masterId: author, incarnation } = self;
  const number = own.order.seen(author) + 1;
  const clock = own.order.record();
  clock[author] = number;
  return {
    deleted: data === null,
    author,
    number,
    entityId,
    entityType: present?.$type ?? typeOf(write, data),
    data: data ?? {},
    clock,
    ...stampAfter(own.clock, before),
    version: (present?.$version ?? before?.versions[0]?.version ?? 0) + 1,
    resolution,
    incarnation,
  };
}
