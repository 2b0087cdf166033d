/**
 * The election's metrics. Names, labels and buckets are those that existing dashboards know; do not change them.
 * `role` is the group.
 */
import type { Env, Labels } from '@canopy/core';
import type { ElectionState } from './api.ts';
import type { Effect } from './machine/state.ts';

export class ElectionMetrics {
  readonly #labels: Labels;
  readonly #isLeader;
  readonly #connected;
  readonly #leaseLeft;
  readonly #byPromise;
  readonly #transitions;
  readonly #failures;
  readonly #attempts;
  readonly #validationFailures;
  readonly #leasesLost;
  readonly #heartbeat;
  readonly #leading;

  constructor({ metrics }: Pick<Env, 'metrics'>, role: string, instanceId: string, bucket: string) {
    this.#labels = { role, instance_id: instanceId, bucket };
    const labels = Object.keys(this.#labels);
    const gauge = (name: string, help: string) => metrics.gauge({ name, help, labels });
    const counter = (name: string, help: string, more: readonly string[] = []) =>
      metrics.counter({ name, help, labels: [...labels, ...more] });
    this.#isLeader = gauge('election_is_leader', '1 while this instance leads, else 0');
    this.#connected = gauge('election_connection_status', '1 while connected to NATS, else 0');
    this.#byPromise = gauge(
      'election_failsafe',
      '1 while this instance leads past its lease by the promises of all other candidates, else 0',
    );
    this.#leaseLeft = gauge(
      'election_lease_left_seconds',
      'Lease left at the last acknowledged write; 0 when not leading',
    );
    this.#transitions = counter('election_transitions_total', 'State changes', ['from_state', 'to_state']);
    this.#failures = counter('election_failures_total', 'Failed requests to the bucket', ['error_type']);
    this.#attempts = counter('election_acquire_attempts_total', 'Attempts to take the lease', ['status']);
    this.#validationFailures = counter(
      'election_token_validation_failures_total',
      'Looks at the lease that found another token, or none, or got no answer',
    );
    this.#leasesLost = counter('election_leases_lost_total', 'Leases lost, not given up');
    this.#heartbeat = metrics.histogram({
      name: 'election_heartbeat_duration_seconds',
      help: 'From sending a renewal to its answer',
      labels: [...labels, 'status'],
      buckets: powersOfTwo(0.001, 10),
    });
    this.#leading = metrics.histogram({
      name: 'election_leader_duration_seconds',
      help: 'Length of a term',
      labels,
      buckets: powersOfTwo(1, 12),
    });
    this.leadsNoMore();
  }

  termBegan(leftMs: number): void {
    this.#isLeader.set(1, this.#labels);
    this.#leaseLeft.set(leftMs / 1000, this.#labels);
  }

  leadsNoMore(): void {
    for (const gauge of [this.#isLeader, this.#leaseLeft, this.#byPromise]) gauge.set(0, this.#labels);
  }

  /** While leading: whether by promises (failsafe) rather than by an acknowledged write. */
  leadsByPromise(value: boolean): void {
    this.#byPromise.set(value ? 1 : 0, this.#labels);
  }

  termEnded(ledMs: number): void {
    this.leadsNoMore();
    this.#leading.observe(ledMs / 1000, this.#labels);
  }

  /** `leftMs` undefined: not leading, though the lease is renewed. */
  renewed(tookMs: number, leftMs: number | undefined): void {
    this.#heartbeat.observe(tookMs / 1000, { ...this.#labels, status: 'success' });
    if (leftMs !== undefined) this.#leaseLeft.set(leftMs / 1000, this.#labels);
  }

  renewalFailed(tookMs: number): void {
    this.#heartbeat.observe(tookMs / 1000, { ...this.#labels, status: 'failure' });
  }

  /** What the machine counts. */
  count(what: Extract<Effect, { type: 'count' }>['what']): void {
    if (what === 'acquired') this.#attempts.add(1, { ...this.#labels, status: 'success' });
    else if (what === 'acquire_failed') this.#attempts.add(1, { ...this.#labels, status: 'failed' });
    else if (what === 'lease_lost') this.#leasesLost.add(1, this.#labels);
  }

  requestFailed(errorType: 'permanent' | 'transient'): void {
    this.#failures.add(1, { ...this.#labels, error_type: errorType });
  }

  validationFailed(): void {
    this.#validationFailures.add(1, this.#labels);
  }

  connected(value: boolean): void {
    this.#connected.set(value ? 1 : 0, this.#labels);
  }

  changed(from: ElectionState, to: ElectionState): void {
    this.#transitions.add(1, { ...this.#labels, from_state: from, to_state: to });
  }

  /** A stopped election leaves no gauge behind. */
  remove(): void {
    for (const gauge of [this.#isLeader, this.#connected, this.#leaseLeft, this.#byPromise]) gauge.remove(this.#labels);
  }
}

function powersOfTwo(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => first * 2 ** i);
}
