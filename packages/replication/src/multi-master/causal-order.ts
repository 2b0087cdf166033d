/**
 * When an event may take effect: once everything that its author had seen has taken effect here, and each author's events in the
 * order of their numbers. Pure. Invariant: an event is delivered at most once, and none is delivered before its causes,
 * except behind a baseline: a replica that joined without history takes one event's clock as where it starts, remembers which
 * numbers it has not seen (holes), and still takes each of those if it comes.
 */
import { emptyClockRecord } from '../clock/clock-record.ts';
import type { ClockRecord } from './event.ts';

/** `ready`: now. `late`: it fills a hole, now. `early`: something that it needs is missing. */
export type Readiness = 'ready' | 'late' | 'early' | 'duplicate';

type Interval = readonly [from: number, to: number];

/** Plain form, for a store or a snapshot. */
export interface CausalOrderState {
  readonly seen: ClockRecord;
  readonly holes?: Readonly<Record<string, readonly Interval[]>>;
}

export class CausalOrder {
  readonly #seen = new Map<string, number>();
  readonly #holes = new Map<string, Interval[]>();
  readonly #baselines = new Set<string>();

  constructor(state: CausalOrderState = { seen: {} }) {
    for (const [master, number] of Object.entries(state.seen)) this.#seen.set(master, number);
    for (const [master, holes] of Object.entries(state.holes ?? {})) this.#holes.set(master, [...holes]);
  }

  /** The greatest number of this author that is behind us. */
  seen(master: string): number {
    return this.#seen.get(master) ?? 0;
  }

  get masters(): readonly string[] {
    return [...this.#seen.keys()];
  }

  judge(author: string, clock: ClockRecord): Readiness {
    const number = clock[author] ?? 0;
    const seen = this.seen(author);
    if (number <= seen) return this.#inHole(author, number) ? 'late' : 'duplicate';
    if (number > seen + 1) return 'early';
    for (const master in clock) if (master !== author && (clock[master] as number) > this.seen(master)) return 'early';
    return 'ready';
  }

  /** To be called with every event that takes effect. */
  deliver(author: string, number: number): void {
    if (number > this.seen(author)) this.#seen.set(author, number);
    else this.#fill(author, number);
  }

  /**
   * Takes the clock of an event as where this replica starts with its author, once per author; false when that has been done, or
   * when the author is known, or the clock tells of nobody else.
   */
  baseline(author: string, clock: ClockRecord): boolean {
    if (this.#baselines.has(author) || this.#seen.has(author)) return false;
    const told = Object.keys(clock).filter((master) => (clock[master] as number) > 0);
    if (told.length < 2) return false;
    this.#baselines.add(author);
    for (const master of told) {
      const to = (clock[master] as number) - (master === author ? 1 : 0);
      const from = this.seen(master) + 1;
      if (to < from) continue;
      this.#holes.set(master, [...(this.#holes.get(master) ?? []), [from, to]]);
      this.#seen.set(master, to);
    }
    return true;
  }

  /** Raises an entry without a hole: what was seen by other means, such as a snapshot. */
  raise(master: string, number: number): void {
    if (number >= this.seen(master)) this.#seen.set(master, number);
  }

  /** All entries, as a vector clock's record; a fresh one. */
  record(): Record<string, number> {
    const record = emptyClockRecord();
    for (const [master, number] of this.#seen) record[master] = number;
    return record;
  }

  toJSON(): CausalOrderState {
    const holes = Object.fromEntries(this.#holes);
    return { seen: this.record(), ...(this.#holes.size === 0 ? {} : { holes }) };
  }

  #inHole(author: string, number: number): boolean {
    return this.#holes.get(author)?.some(([from, to]) => from <= number && number <= to) ?? false;
  }

  #fill(author: string, number: number): void {
    const left = (this.#holes.get(author) ?? []).flatMap(([from, to]): Interval[] => {
      if (number < from || number > to) return [[from, to]];
      const around: Interval[] = [
        [from, number - 1],
        [number + 1, to],
      ];
      return around.filter(([a, b]) => a <= b);
    });
    if (left.length === 0) this.#holes.delete(author);
    else this.#holes.set(author, left);
  }
}
