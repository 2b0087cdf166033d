/** What leaders, followers and masters count, through the metrics port. */
import { readFileSync } from 'node:fs';
import type { Labels, MetricSpec, Metrics } from '@canopy/core';
import * as replication from '@canopy/replication';
import { LeaderFollowerManager, MemoryLog, MultiMasterManager } from '@canopy/replication';
import { expect, it, onTestFinished } from 'vitest';
import { MemoryState } from './leader-follower/memory-state.ts';
import { Disk } from './multi-master/disk.ts';
import { passingTime } from './passing-time.ts';

class Recorded implements Metrics {
  readonly values = new Map<string, number>();

  counter = (spec: MetricSpec) => ({
    add: (by = 1, labels: Labels = {}) => void this.values.set(name(spec, labels), this.of(spec, labels) + by),
  });

  gauge = (spec: MetricSpec) => ({
    set: (value: number, labels: Labels = {}) => void this.values.set(name(spec, labels), value),
    remove: (labels: Labels = {}) => void this.values.delete(name(spec, labels)),
  });

  histogram = () => ({ observe: () => {} });

  of(spec: MetricSpec, labels: Labels): number {
    return this.values.get(name(spec, labels)) ?? 0;
  }

  get(text: string): number | undefined {
    return this.values.get(text);
  }
}

function name({ name: of, labels: known = [] }: MetricSpec, labels: Labels): string {
  expect(Object.keys(labels).sort(), of).toEqual([...known].sort());
  return `${of} ${known.map((label) => labels[label]).join(' ')}`;
}

function ground() {
  const metrics = new Recorded();
  const env = { ...passingTime(), metrics };
  const until = async (holds: () => boolean): Promise<void> => {
    for (let i = 0; i < 5000 && !holds(); i++) await env.clock.sleep(10);
    expect([...metrics.values], String(holds)).toSatisfy(holds);
  };
  return { env, metrics, until, log: new MemoryLog('orders', { clock: env.clock }) };
}

it('a leader and its follower', async () => {
  const { env, metrics, until, log } = ground();
  const node = async (nodeId: string, role: 'leader' | 'follower') => {
    const config = { nodeId, role, namespace: 'orders', pipeline: log.connect(nodeId), stateStore: new MemoryState() };
    const manager = new LeaderFollowerManager({ ...config, allowUnprovenPromotion: true }, env);
    onTestFinished(() => manager.close());
    await manager.start();
    return manager;
  };
  const [leader, follower] = [await node('n1', 'leader'), await node('n2', 'follower')];
  for (const key of ['a', 'b']) await leader.write({ key, value: 1, operation: 'update' });
  await follower.write({ key: 'c', value: 1, operation: 'update' });
  await until(() => metrics.get('replication_events_applied_total n2') === 2);
  await follower.rebuild();
  await leader.rebuild().catch(() => {});
  expect(Object.fromEntries(metrics.values)).toMatchObject({
    'replication_writes_total n1': 2,
    'replication_writes_refused_total n2': 1,
    'replication_lag_events n2': 0,
    'replication_leader n1': 1,
    'replication_leader n2': 0,
    'replication_rebuilds_total n2 done': 1,
  });
  await leader.close();
  expect(metrics.get('replication_leader n1')).toBeUndefined();
});

it('masters', async () => {
  const { env, metrics, until, log } = ground();
  const master = async (masterId: string) => {
    const config = { masterId, pipeline: log.connect(masterId), stateManager: new Disk().open() };
    const manager = new MultiMasterManager({ ...config, conflictStrategy: 'manual' }, env);
    onTestFinished(() => manager.close());
    await manager.subscribe();
    return manager;
  };
  const [a, b] = [await master('a'), await master('b')];
  await Promise.all([a.write('x', { by: 'a' }), b.write('x', { by: 'b' })]);
  await until(() => metrics.get('replication_master_conflicts_pending b') === 1);
  await until(() => metrics.get('replication_master_conflicts_pending a') === 1);
  log.fault = ({ operation, node }) => (operation === 'append' && node === 'b' ? { outcome: 'fail' } : undefined);
  await b.write('y', {});
  await b.delete('y');
  await until(() => (metrics.get('replication_master_unsent_events b') ?? 0) >= 2);
  log.fault = undefined;
  await until(() => metrics.get('replication_master_unsent_events b') === 0);
  await a.resolveConflict('x', { by: 'both' });
  await until(() => metrics.get('replication_master_conflicts_pending b') === 0);
  await until(() => metrics.get('replication_master_events_applied_total a') === 3);
  await b.rebuild();
  expect(Object.fromEntries(metrics.values)).toMatchObject({
    'replication_master_writes_total a': 2,
    'replication_master_writes_total b': 3,
    'replication_master_conflicts_total a': 1,
    'replication_master_waiting_events a': 0,
    'replication_rebuilds_total b done': 1,
  });
  await a.close();
  expect(metrics.get('replication_master_unsent_events a')).toBeUndefined();
});

it('the README names every metric', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const specs = Object.values(replication).filter(
    (one): one is MetricSpec => typeof one === 'object' && 'help' in one && 'name' in one,
  );
  expect(specs.length).toBeGreaterThan(20);
  for (const spec of specs) expect(readme).toContain(`\`${spec.name}\``);
});
