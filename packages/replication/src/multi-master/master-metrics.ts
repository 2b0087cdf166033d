/** The counts of one master: for `getMetrics()`, and for the metrics port. */
import type { Counter, Gauge, Labels, Metrics } from '@canopy/core';
import {
  MASTER_CONFLICTS,
  MASTER_EVENTS,
  MASTER_EVICTED,
  MASTER_PENDING,
  MASTER_REJECTED,
  MASTER_UNSENT,
  MASTER_WAITING,
  MASTER_WRITES,
  REBUILDS,
} from '../metrics.ts';
import type { Listeners } from './listeners.ts';
import type { Replica } from './replica.ts';

export class MasterMetrics {
  writes = 0;
  readonly #labels: Labels;
  readonly #replica: () => Replica;
  readonly #writes: Counter;
  readonly #rebuilds: Counter;
  readonly #gauges: readonly [pending: Gauge, waiting: Gauge, unsent: Gauge];

  /** Hears of the rest by itself. */
  constructor(metrics: Metrics, node: string, listeners: Listeners, replica: () => Replica) {
    this.#labels = { node };
    this.#replica = replica;
    this.#writes = metrics.counter(MASTER_WRITES);
    this.#rebuilds = metrics.counter(REBUILDS);
    this.#gauges = [metrics.gauge(MASTER_PENDING), metrics.gauge(MASTER_WAITING), metrics.gauge(MASTER_UNSENT)];
    const counted = {
      eventApplied: metrics.counter(MASTER_EVENTS),
      conflictDetected: metrics.counter(MASTER_CONFLICTS),
      rejected: metrics.counter(MASTER_REJECTED),
      evicted: metrics.counter(MASTER_EVICTED),
    } as const;
    for (const name of ['eventApplied', 'conflictDetected', 'rejected', 'evicted'] as const)
      listeners.on(name, () => {
        counted[name].add(1, this.#labels);
        this.#show();
      });
    listeners.moved = () => this.#show();
    for (const name of ['buffered', 'conflictResolved', 'outboxBlocked'] as const)
      listeners.on(name, () => this.#show());
  }

  /** `counts`: 0 for a delete, which programs do not know as a write. */
  written(counts: number): void {
    this.writes += counts;
    this.#writes.add(1, this.#labels);
    this.#show();
  }

  rebuilt(outcome: 'done' | 'failed'): void {
    this.#rebuilds.add(1, { ...this.#labels, outcome });
  }

  closed(): void {
    for (const gauge of this.#gauges) gauge.remove(this.#labels);
  }

  #show(): void {
    const replica = this.#replica();
    const counts = replica.counts();
    const [pending, waiting, unsent] = this.#gauges;
    pending.set(replica.conflicts.pendingCount, this.#labels);
    waiting.set(counts.waiting, this.#labels);
    unsent.set(counts.unsent, this.#labels);
  }
}
