/** What a simulation really did, by kind: a generator that silently stops doing one of them is no proof of anything. */

export const FAULT_KINDS = [
  /** A clock at least 4 % too fast, or too slow. */
  'fast_clock',
  'slow_clock',
  /** The wall clock jumps ahead: the program takes it for a suspension. */
  'clock_step',
  /** The machine sleeps, and its monotonic clock with it. */
  'suspension',
  'pause',
  'crash',
  /** Under the same id. */
  'restart',
  'lost_request',
  'lost_answer',
  'late_message',
  /** It arrived while the store was away, and reached it when it was back. */
  'held_request',
  'duplicate',
  'watch_gap',
  /** Nobody notices. */
  'silent_watch_gap',
  'lost_watch_message',
  'late_watch_message',
  /** No quorum for a while, or for several leases. */
  'outage',
  'fail_over',
  /** A node without any connection, without its way to the store, or to the others. */
  'partition',
  'store_partition',
  'bus_partition',
  'lost_bus_message',
  'slow_bus',
  'bucket_anew',
  /** And its revisions begin where they have been. */
  'bucket_repeated',
  /** A write reached the bucket that came after the one it was sent to. */
  'write_across_buckets',
  'step_down',
  'handoff',
  'preemption',
  'unclean_hooks',
  'unguardable',
  'failsafe',
] as const;

export type FaultKind = (typeof FAULT_KINDS)[number];
export type FaultCounts = Readonly<Record<FaultKind, number>>;

export class Tally {
  readonly #counts = Object.fromEntries(FAULT_KINDS.map((kind) => [kind, 0])) as Record<FaultKind, number>;

  count(kind: FaultKind): void {
    this.#counts[kind] += 1;
  }

  get counts(): FaultCounts {
    return { ...this.#counts };
  }
}

/** The sums of several schedules. */
export function sumOfCounts(all: readonly FaultCounts[]): FaultCounts {
  const sums = new Tally().counts as Record<FaultKind, number>;
  for (const counts of all) for (const kind of FAULT_KINDS) sums[kind] += counts[kind];
  return sums;
}
