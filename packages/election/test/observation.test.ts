import type { HistogramSpec, MetricSpec, Metrics } from '@canopy/core';
import { describe, expect, it } from 'vitest';
import { Election } from '../src/index.ts';
import { TTL, World } from './world.ts';

/** A world in which everything happens that is worth a log line. */
async function eventful(): Promise<World> {
  const world = new World();
  const { clock } = world;
  let healthy = true;
  const a = await world.start(
    world.make('a', {
      validationInterval: 1000,
      healthChecker: () => healthy,
      correlationId: 'c-1',
      disconnectGracePeriod: 60_000,
    }),
  );
  const b = await world.start(world.make('b', { priority: 2, allowPriorityTakeover: true, takeoverCooldown: 0 }));
  await clock.advance(3 * TTL);
  expect(b.isLeader).toBe(true);
  await world.stop(b);
  await clock.advance(TTL);
  // Renewals and looks that fail, and come back.
  let lost = 2;
  world.hub.fault = (call) =>
    ['update', 'get'].includes(call.operation) && lost-- > 0 ? { outcome: 'fail' } : undefined;
  await clock.advance(2000);
  world.sessions.get('a')?.cut();
  await clock.advance(500);
  world.sessions.get('a')?.heal();
  await clock.advance(1000);
  healthy = false;
  await clock.advance(1000);
  healthy = true;
  await clock.advance(1000);
  healthy = false;
  await clock.advance(5000);
  healthy = true;
  await clock.advance(5000);
  expect(a.isLeader).toBe(true);
  await world.overwrite('{"id":"x","token":"t"}');
  await clock.advance(100);
  await world.overwrite('{"id":"y","token":"u"}');
  await clock.advance(2 * TTL);
  await world.stop(a);
  return world;
}

describe('the log', () => {
  it('has a line for each thing that operators look for, with its fields, and no token', async () => {
    const { lines } = await eventful();
    const events = new Set(lines.map(({ event }) => event));
    for (const event of [
      'election_started',
      'attempting_acquire_with_retry',
      'acquire_success',
      'state_transition',
      'leader_promoted',
      'leader_demoted',
      'leader_changed',
      'priority_takeover_opportunity',
      'priority_takeover_success',
      'heartbeat_failed',
      'heartbeat_recovered',
      'health_check_failed',
      'health_check_recovered',
      'demoting_due_to_health_check_failure',
      'demoting_due_to_heartbeat_failure',
      'leadership_lost_via_watcher',
      'connection_disconnected',
      'connection_reconnected_before_grace_period',
      'verifying_leadership_after_reconnect',
      'reconnect_verification_success',
      'disconnect_grace_capped',
      'watch_started',
      'key_deleted',
      'election_stopped',
    ])
      expect(events, event).toContain(event);
    for (const { fields } of lines.filter((line) => line.fields.group !== undefined))
      expect(fields).toMatchObject({ group: 'g', bucket: 'elections', instance_id: expect.any(String) });
    expect(
      lines.filter(({ fields }) => fields.instance_id === 'a').every(({ fields }) => fields.correlation_id === 'c-1'),
    ).toBe(true);
    expect(JSON.stringify(lines)).not.toMatch(/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-/);
    expect(lines.find(({ event }) => event === 'leader_promoted')?.fields.token).toMatch(/^[0-9a-f]{8}$/);
  });
});

/** Remembers specs and every value. */
function recordingMetrics() {
  const specs = new Map<string, MetricSpec & Partial<HistogramSpec>>();
  const values: { name: string; value: number; labels: object }[] = [];
  const record = (spec: MetricSpec) => {
    specs.set(spec.name, spec);
    return (value = 1, labels: object = {}) => void values.push({ name: spec.name, value, labels });
  };
  const metrics: Metrics = {
    counter: (spec) => ({ add: record(spec) }),
    gauge: (spec) => ({ set: record(spec), remove() {} }),
    histogram: (spec) => ({ observe: record(spec) }),
  };
  return { metrics, specs, of: (name: string) => values.filter((value) => value.name === name) };
}

describe('the metrics', () => {
  it('have the names, labels and buckets that dashboards know', () => {
    const { metrics, specs } = recordingMetrics();
    const world = new World();
    new Election(
      { session: world.session('a'), bucket: 'b', group: 'g', instanceId: 'a' },
      { ...world.env('a'), metrics },
    );
    const base = ['role', 'instance_id', 'bucket'];
    expect(Object.fromEntries([...specs].map(([name, { labels }]) => [name, labels]))).toEqual({
      election_is_leader: base,
      election_connection_status: base,
      election_lease_left_seconds: base,
      election_failsafe: base,
      election_transitions_total: [...base, 'from_state', 'to_state'],
      election_failures_total: [...base, 'error_type'],
      election_acquire_attempts_total: [...base, 'status'],
      election_token_validation_failures_total: base,
      election_leases_lost_total: base,
      election_heartbeat_duration_seconds: [...base, 'status'],
      election_leader_duration_seconds: base,
    });
    expect(specs.get('election_heartbeat_duration_seconds')?.buckets).toEqual([
      0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512,
    ]);
    expect(specs.get('election_leader_duration_seconds')?.buckets).toEqual([
      1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048,
    ]);
  });

  it('say what was so: durations, counts once each, what is lost and what is left', async () => {
    const { metrics, of } = recordingMetrics();
    const world = new World();
    world.hub.fault = (call) => (call.operation === 'update' ? { delayMs: 40, answerDelayMs: 40 } : undefined);
    const election = new Election(
      { session: world.session('a'), bucket: 'elections', group: 'g', instanceId: 'a', ttl: TTL },
      { ...world.env('a'), metrics },
    );
    await world.start(election);
    // From the first moment of a term, not from its first renewal.
    expect(of('election_lease_left_seconds').at(-1)?.value).toBeCloseTo((TTL - 300) / 1000, 2);
    await world.clock.advance(2500);
    const beats = of('election_heartbeat_duration_seconds');
    expect(beats.length).toBeGreaterThanOrEqual(2);
    for (const { value, labels } of beats) {
      expect(value).toBeCloseTo(0.08, 3);
      expect(labels).toMatchObject({ status: 'success' });
    }
    expect(of('election_lease_left_seconds').at(-1)?.value).toBeCloseTo((TTL - 300 - 80) / 1000, 2);
    expect(of('election_acquire_attempts_total')).toMatchObject([{ value: 1, labels: { status: 'success' } }]);
    // A create that is refused is one failed attempt, and no failed request.
    world.hub.fault = undefined;
    await world.overwrite('{"id":"x","token":"t"}');
    await world.clock.advance(10);
    expect(of('election_leases_lost_total')).toHaveLength(1);
    expect(of('election_failures_total')).toEqual([]);
    expect(of('election_leader_duration_seconds').at(-1)?.value).toBeCloseTo(2.6, 1);
    expect(of('election_is_leader').map(({ value }) => value)).toEqual([0, 1, 0]);
    await world.stop(election);
  });

  it('tell failures that pass from those that stay, and a cut connection', async () => {
    const { metrics, of } = recordingMetrics();
    const world = new World();
    const election = new Election(
      { session: world.session('a'), bucket: 'elections', group: 'g', instanceId: 'a', ttl: TTL },
      { ...world.env('a'), metrics },
    );
    await world.start(election);
    let failing = 1;
    world.hub.fault = (call) => (call.operation === 'update' && failing-- > 0 ? { outcome: 'fail' } : undefined);
    await world.clock.advance(1500);
    expect(of('election_failures_total')).toMatchObject([{ labels: { error_type: 'transient' } }]);
    expect(of('election_heartbeat_duration_seconds')[0]).toMatchObject({ labels: { status: 'failure' } });
    world.hub.dropKv('elections');
    await world.clock.advance(3000);
    expect(
      of('election_failures_total').some(({ labels }) => 'error_type' in labels && labels.error_type === 'permanent'),
    ).toBe(true);
    world.sessions.get('a')?.cut();
    await world.clock.advance(10);
    expect(of('election_connection_status').map(({ value }) => value)).toEqual([1, 0]);
    world.sessions.get('a')?.heal();
    await world.stop(election);
  });
});
