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
