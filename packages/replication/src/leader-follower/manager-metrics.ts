/** The counts of one manager: for `getMetrics()`, and for the metrics port. */
import type { Counter, Gauge, Labels, Metrics } from '@canopy/core';
import {
  FOLLOWER_EVENTS,
  FOLLOWER_GAPS,
  FOLLOWER_LAG,
  LEADER_WRITES,
  LEADER_WRITES_REFUSED,
  LEADING,
  REBUILDS,
  RECORDS_SKIPPED,
} from '../metrics.ts';

export class ManagerMetrics {
  emitted = 0;
  applied = 0;
  lastError: string | undefined;
  readonly #labels: Labels;
  readonly #writes: Counter;
  readonly #refused: Counter;
  readonly #events: Counter;
  readonly #gaps: Counter;
  readonly #lag: Gauge;
  readonly #leading: Gauge;
  readonly #rebuilds: Counter;
  readonly #skipped: Counter;

  constructor(metrics: Metrics, node: string) {
    this.#labels = { node };
    this.#writes = metrics.counter(LEADER_WRITES);
    this.#refused = metrics.counter(LEADER_WRITES_REFUSED);
    this.#events = metrics.counter(FOLLOWER_EVENTS);
    this.#gaps = metrics.counter(FOLLOWER_GAPS);
    this.#lag = metrics.gauge(FOLLOWER_LAG);
    this.#leading = metrics.gauge(LEADING);
    this.#rebuilds = metrics.counter(REBUILDS);
    this.#skipped = metrics.counter(RECORDS_SKIPPED);
  }

  written(): void {
    this.emitted += 1;
    this.#writes.add(1, this.#labels);
  }

  refused(): void {
    this.#refused.add(1, this.#labels);
  }

  followed(events: number, lag: number): void {
    this.applied += events;
    this.#events.add(events, this.#labels);
    this.#lag.set(lag, this.#labels);
  }

  gap(): void {
    this.#gaps.add(1, this.#labels);
  }

  skipped(): void {
    this.#skipped.add(1, this.#labels);
  }

  rebuilt(outcome: 'done' | 'failed'): void {
    this.#rebuilds.add(1, { ...this.#labels, outcome });
  }

  leads(leads: boolean): void {
    this.#leading.set(leads ? 1 : 0, this.#labels);
  }

  closed(): void {
    this.#leading.remove(this.#labels);
    this.#lag.remove(this.#labels);
  }
}
