import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DatabaseEvent, systemEnv } from '@canopy/core';
import { expect, onTestFinished, test } from 'vitest';
import { compact } from '../../src/levels/compactor.ts';
import { LogKeeper } from '../../src/levels/keeper.ts';
import { Proofs } from '../../src/levels/proofs.ts';
import { formatName } from '../../src/log/names.ts';
import { planRestore } from '../../src/restore/plan.ts';
import { fill, memoryLog } from '../log/logs.ts';

test('a merge that was damaged is made anew from its inputs, and frees them only then', {
  timeout: 20_000,
}, async () => {
  const scratch = mkdtempSync(join(tmpdir(), 'mending-'));
  onTestFinished(() => rmSync(scratch, { recursive: true, force: true }));
  const { log, blobs } = await memoryLog();
  await fill(log, 1, 30);
  const env = systemEnv();
  const inputs = (await log.entries()).slice(0, 10);
  const plan = { level: 1, inputs, minTxid: 1, maxTxid: 10 };
  const { signal } = new AbortController();
  await compact({ log, clock: env.clock, proofs: new Proofs(log), scratch, node: 'a' }, plan, signal);
  const name = formatName(plan);
  const { bytes = new Uint8Array(0), info } = (await blobs.read(name)) ?? {};
  await blobs.put(name, bytes.subarray(0, -2), { headers: info?.headers ?? {} });

  const events: DatabaseEvent[] = [];
  const keeper = new LogKeeper({
    log,
    env,
    node: 'a',
    scratch,
    options: {
      compactionLevelsMs: [1000],
      keepSegmentsMs: 0,
      retentionMs: 60_000,
      keepSnapshots: 1,
      snapshotIntervalMs: 60_000,
    },
    onEvent: (event) => events.push(event),
    onChange: () => {},
  });
  const stop = new AbortController();
  const running = keeper.run(stop.signal);
  while ((await log.entry(10)) !== undefined) {
    expect(planRestore('b', await log.all()).at(-1)?.maxTxid).toBe(30);
    await env.clock.sleep(20);
  }
  stop.abort();
  await running;
  expect(await log.verify(name)).toBe(true);
  expect(events).toContainEqual(expect.objectContaining({ type: 'warning', code: 'SQLITE_LTX_INVALID' }));
  expect(keeper.problem).toBeUndefined();
});
