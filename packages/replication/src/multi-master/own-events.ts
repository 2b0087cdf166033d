/**
 * A master's own events as they come back from the log. Invariant: an event leaves the outbox only when the log has shown that it has this very
 * event under its number. A store that is an older copy of itself (a backup, a commit that a power failure took back) has given
 * numbers to other events than the log has: such a master stops, and what it wrote stays in its outbox. Where it has written nothing, it
 * takes over what it did not know of itself.
 */
import { replicationErrors } from '../errors.ts';
import { numberKey } from './durable-state.ts';
import { type Change, type MasterEvent, readClock } from './event.ts';
import type { MasterCore } from './master-core.ts';
import type { MemberEvent } from './members.ts';

export class OwnEvents {
  readonly #core: MasterCore;

  constructor(core: MasterCore) {
    this.#core = core;
  }

  /** The log has it, as an event that counts. False: it is not what was written here. */
  came({ number, incarnation }: Change, event: unknown): boolean {
    const { self, outbox } = this.#core;
    if (self === undefined || incarnation !== self.incarnation) return true;
    const mine = outbox.compare(number, event);
    if (mine === 'other' || (number > self.counter && this.#core.unsent > 0)) {
      this.#isOlder(number);
      return false;
    }
    if (mine === 'same') this.#takeOff(number);
    this.#core.onReadBack?.(number);
    return true;
  }

  /** It took effect. Not before: who starts with a counter takes all up to it for seen, and it may be held. */
  delivered({ author, number, incarnation }: Change): void {
    const { self } = this.#core;
    if (author === self?.masterId && incarnation === self.incarnation) this.#raise(number);
  }

  /** What was written after a report has seen all that the report tells of; others forget deletes by it. */
  reported(event: Extract<MemberEvent, { type: 'report' }>): void {
    const { self, state } = this.#core;
    if (self === undefined || event.incarnation !== self.incarnation) return;
    const told = readClock(event.vectorClock);
    const [next] = state.first<MasterEvent>('outbox', 1, numberKey(told[self.masterId] ?? 0));
    if (next === undefined) return;
    const knew = next[1].vectorClock;
    if (Object.keys(told).some((master) => (knew[master] ?? 0) < (told[master] as number)))
      this.#isOlder(Number(next[0]));
  }

  /** A snapshot has something else under this number. */
  contradicted(number: number): void {
    this.#isOlder(number);
  }

  /** A snapshot has this master's events up to this number. */
  passed(number: number): void {
    const { self, state, unsent } = this.#core;
    if (self !== undefined && self.joinedAt > 0 && number > self.counter) {
      if (unsent > 0) {
        this.#isOlder(self.counter + 1);
        return;
      }
      this.#raise(number);
    }
    for (const [key] of state.first('outbox', unsent))
      if (Number(key) <= number && state.get('outbox', key) !== undefined) this.#takeOff(Number(key));
    this.#core.onReadBack?.(number, true);
  }

  /** Those that did not come back, oldest first. */
  unsent(limit: number): MasterEvent[] {
    const { state } = this.#core;
    return state
      .first<MasterEvent>('outbox', limit)
      .filter(([key]) => state.get('outbox', key) !== undefined)
      .map(([, event]) => event);
  }

  #takeOff(number: number): void {
    this.#core.outbox.takeOff(number);
    this.#core.unsent -= 1;
  }

  #raise(counter: number): void {
    const { self, state } = this.#core;
    if (self === undefined || counter <= self.counter) return;
    this.#core.self = { ...self, counter };
    state.set('meta', 'self', this.#core.self);
  }

  #isOlder(number: number): void {
    const { self, unsent } = this.#core;
    this.#core.isOldCopy = true;
    const problem = `its store is an older copy of itself, or two processes use one: the log does not have, as number ${number}, what was written here; ${unsent} events that were are not in the log`;
    this.#core.fail(replicationErrors.create('MASTER_REPLACED', { masterId: self?.masterId, problem }));
  }
}
