/**
 * What happened to an app on this node, newest last: the steps of each transition with their times. `ms` counts from the
 * start of the transition (the loss of the leader as seen here, else the election), `monotonic` has one origin for all
 * processes of a machine, so entries of several nodes on one machine can be laid side by side. Names are a contract.
 */
import type { Clock } from '@canopy/core';

export type TimelineEventName =
  /** The leader is gone, as seen here: another node's, or our own lease. Starts a transition. */
  | 'lost'
  | 'elected'
  | 'caught_up'
  | 'claimed'
  | 'verified'
  | 'promoted'
  | 'activated'
  | 'backend_started'
  | 'serving'
  /** Another node leads now. Ends a transition here. */
  | 'following'
  | 'stepping_down'
  | 'gate_closed'
  | 'backend_stopped'
  | 'deactivated'
  | 'shipped'
  | 'demoted'
  | 'given_up'
  | 'failed'
  | 'held_off'
  | 'fenced'
  | 'diverged'
  | 'hook_failed';

export interface TimelineEntry {
  /** Unix ms; for people. */
  readonly at: number;
  readonly monotonic: number;
  readonly event: TimelineEventName;
  /** Since the transition began. */
  readonly ms: number;
  readonly epoch?: number;
  readonly detail?: string;
}

export class Timeline {
  readonly #clock: Clock;
  readonly #capacity: number;
  readonly #onEntry: (entry: TimelineEntry, sinceLostMs: number | undefined) => void;
  readonly #entries: TimelineEntry[] = [];
  #startedAt: number | undefined;
  #lostAt: number | undefined;

  /** Keeps the newest `capacity` entries (default 200). `onEntry` also hears how long ago the leader was lost. */
  constructor(clock: Clock, onEntry: (entry: TimelineEntry, sinceLostMs: number | undefined) => void, capacity = 200) {
    this.#clock = clock;
    this.#onEntry = onEntry;
    this.#capacity = capacity;
  }

  /** Monotonic ms at which the loss that the present transition answers was seen here. */
  get lostAt(): number | undefined {
    return this.#lostAt;
  }

  entries(): readonly TimelineEntry[] {
    return [...this.#entries];
  }

  add(event: TimelineEventName, facts: { epoch?: number | undefined; detail?: string | undefined } = {}): void {
    const now = this.#clock.monotonic();
    if (event === 'lost') this.#lostAt = now;
    if (event === 'lost' || event === 'stepping_down' || this.#startedAt === undefined) this.#startedAt = now;
    const entry: TimelineEntry = {
      at: this.#clock.wall(),
      monotonic: now,
      event,
      ms: Math.round((now - this.#startedAt) * 10) / 10,
      ...(facts.epoch === undefined ? {} : { epoch: facts.epoch }),
      ...(facts.detail === undefined ? {} : { detail: facts.detail }),
    };
    this.#entries.push(entry);
    if (this.#entries.length > this.#capacity) this.#entries.shift();
    const sinceLostMs = this.#lostAt === undefined ? undefined : now - this.#lostAt;
    if (event === 'serving' || event === 'following') {
      this.#startedAt = undefined;
      this.#lostAt = undefined;
    }
    this.#onEntry(entry, sinceLostMs);
  }
}
