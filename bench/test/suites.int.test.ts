import { spawnNode } from '@canopy/testkit';
import { expect, it } from 'vitest';

const MAIN = new URL('../src/main.ts', import.meta.url);

/** The cheapest one, for the way from the command line to the figures; the others take cluster starts. */
it('a suite prints figures with baselines, one JSON object a line', async () => {
  await using bench = await spawnNode(MAIN, ['election', '--quick']);
  expect(await bench.exited, bench.output).toMatchObject({ code: 0 });
  const figures = bench.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  const metrics = figures.map(({ metric }) => metric);
  for (const name of ['acquire', 'renew', 'handoff', 'ttl_failover', 'warden_failover'])
    expect(metrics).toEqual(expect.arrayContaining([`${name}.p50`, `${name}.p99`]));
  for (const figure of figures) {
    expect(figure).toMatchObject({ suite: 'election', unit: expect.any(String), value: expect.any(Number) });
    if (figure.baseline !== undefined)
      expect(figure.ratio).toBeCloseTo(Number(figure.value) / Number(figure.baseline), 1);
  }
  const wardenMs = Number(figures.find(({ metric }) => metric === 'warden_failover.p50')?.value);
  expect(wardenMs).toBeGreaterThan(0);
  expect(wardenMs).toBeLessThan(10_000);
}, 60_000);

it('refuses a suite that it does not know', async () => {
  await using bench = await spawnNode(MAIN, ['elections']);
  expect(await bench.exited).toMatchObject({ code: 2 });
  expect(bench.output).toContain('no such suite: elections');
});

it('the herd tells its time and writes, the groups their cost, and etcd why it is not there', async () => {
  await using bench = await spawnNode(MAIN, ['election-scale', '--quick'], { environment: { PATH: '/usr/bin:/bin' } });
  expect(await bench.exited, bench.output).toMatchObject({ code: 0 });
  const figures = bench.lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
  const value = (metric: string): number => figures.find((figure) => figure.metric === metric)?.value as number;
  expect(value('herd_10.release.p50')).toBeLessThan(1000);
  expect(value('herd_10.expiry.writes_per_candidate')).toBeLessThanOrEqual(3);
  expect(value('groups_20.cpu')).toBeGreaterThan(0);
  expect(bench.output).toMatch(/beside etcd: skipped|beside_etcd/);
}, 90_000);

it('replication: every figure of both suites, with targets and baselines', async () => {
  await using bench = await spawnNode(MAIN, ['wal', 'sqlite-scale', '--quick']);
  expect(await bench.exited, bench.output).toMatchObject({ code: 0 });
  const figures = bench.lines
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as { metric: string; value: number; baseline?: number; target?: string });
  const of = (metric: string) => figures.find((figure) => figure.metric === metric);
  for (const metric of [
    'lag.p99',
    'sustained_lag.p99',
    'handover_gap.p99',
    'handover_lost',
    'ltx_encode',
    'ltx_decode',
  ])
    expect(of(metric), metric).toMatchObject({ target: expect.any(String), value: expect.any(Number) });
  const against = ['replicated_commit_to_publish.p50', 'steady_1000_writes', 'bulk_writes', 'shipped', 'restore'];
  for (const metric of [...against, 'r3.replicated_commit_to_publish.p50'])
    expect(of(metric), metric).toMatchObject({
      target: expect.stringContaining('ratio'),
      baseline: expect.any(Number),
    });
  expect(of('handover_lost')?.value).toBe(0);
  expect(of('objects_200.entry.requests')?.value).toBe(1);
  expect(of('idle_2_databases.cpu')?.target).toBe('value <= 2');
  for (const who of ['primary', 'standby', 'compacting_primary', 'restore'])
    expect(of(`large.${who}.peak`)?.value, who).toBeGreaterThan(10);
  expect(bench.output).toMatch(/beside Litestream: skipped|beside_litestream/);
}, 90_000);

it('the log, replicas, clocks, conflicts and merging: targets, and both libraries beside each operation', async () => {
  await using bench = await spawnNode(MAIN, ['replication', '--quick']);
  expect(await bench.exited, bench.output).toMatchObject({ code: 0 });
  const figures = bench.lines.map((line) => JSON.parse(line) as { metric: string; value: number; baseline?: number });
  const of = (metric: string) => figures.find((figure) => figure.metric === metric);
  for (const metric of ['vector_clock_compare_10', 'resolve_lww'])
    expect(of(metric), metric).toMatchObject({ target: expect.stringContaining('value'), met: expect.any(Boolean) });
  for (const metric of ['log_append.p50', 'log_append_many', 'log_append_chain', 'log_read'])
    expect(of(metric), metric).toMatchObject({ value: expect.any(Number), baseline: expect.any(Number) });
  const targets = [
    'leader_write.p50',
    'follower_apply',
    'follower_bootstrap_5000',
    'master_write.p99',
    'masters_heal_1000',
  ];
  for (const metric of targets)
    expect(of(metric), metric).toMatchObject({ baseline: expect.any(Number), met: expect.any(Boolean) });
  for (const metric of ['map_set', 'set_add', 'counter_increment', 'map_merge', 'set_merge', 'grow_merge'])
    for (const name of [metric, `${metric}.beside_automerge`])
      expect(of(name), name).toMatchObject({ value: expect.any(Number), baseline: expect.any(Number) });
  expect(of('map_state')?.value).toBeGreaterThan(0);
}, 120_000);
