/** One bucket and one file that change hands, from our primary to Litestream's and back: the log stays one chain. */
import { join } from 'node:path';
import { eventually } from '@canopy/testkit';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { TestCluster, type TestNode, write } from '../database/cluster.ts';
import { BUILD_TIMEOUT_MS, type LitestreamBinaries, litestreamBinaries } from './binaries.ts';
import { contentOf, LitestreamRig } from './rig.ts';
import { createDatabase, STEPS } from './workload.ts';

let binaries: LitestreamBinaries;
let cluster: TestCluster;

beforeAll(
  async () => {
    binaries = await litestreamBinaries();
    cluster = await TestCluster.start();
  },
  2 * BUILD_TIMEOUT_MS + 60_000,
);

afterAll(() => cluster[Symbol.asyncDispose]());

const endOf = async ({ log }: LitestreamRig): Promise<number> => (await log.end())?.position.txid ?? 0;

/** Our primary on the file: runs the steps, stops in order. */
async function byUs(node: TestNode, epoch: number, steps: readonly string[]): Promise<void> {
  await node.database.start();
  await node.promote(epoch);
  for (const step of steps) {
    write(node.path, step);
    await node.database.sync();
  }
  await node.database.stop();
  expect(node.events.filter(({ type }) => type === 'divergence_kept')).toEqual([]);
}

/** Litestream on the file: each step is in the bucket before the next. */
async function byThem(rig: LitestreamRig, binary: string, path: string, steps: readonly string[]): Promise<void> {
  const running = rig.replicate(binary, path);
  const first = await endOf(rig);
  await eventually(async () => (await endOf(rig)) > first, { what: `its first transaction; ${running.output}` });
  for (const step of steps) {
    const before = await endOf(rig);
    write(path, step);
    await eventually(async () => (await endOf(rig)) > before, {
      what: `a transaction behind ${before}; ${running.output}`,
    });
  }
  await running.stop();
}

/** Both restore what the file holds, nothing is missing from the log, and nobody took the other's work for a divergence. */
async function agreed(rig: LitestreamRig, binary: string, path: string): Promise<void> {
  const [theirs, ours] = [await rig.theirs(binary), await rig.ours()];
  expect(ours).toMatchObject({ sha: expect.any(String) });
  if ('failed' in theirs || 'failed' in ours) throw new Error(JSON.stringify({ theirs, ours }));
  expect(ours.sha).toBe(theirs.sha);
  expect(contentOf(ours.path)).toBe(contentOf(path));
  const txids = (await rig.log.entries()).map(({ maxTxid }) => maxTxid);
  expect(txids).toEqual(txids.map((_, i) => (txids[0] as number) + i));
}

describe('one log, two programs', () => {
  beforeEach((context) => {
    const reason = binaries.missing.get(context.task.name.startsWith('frame') ? 'frame' : 'block');
    if (reason !== undefined) context.skip(reason);
  });

  test.each(['block', 'frame'] as const)('%s generation: it goes on from us, we go on from it', async (generation) => {
    const binary = binaries.paths.get(generation) as string;
    const app = `takeover${generation}`;
    await using rig = await LitestreamRig.open(cluster.nats, `test_${app}_wal`);
    const path = join(cluster.directory.path, `${app}.db`);
    createDatabase(path, 4096);
    const options = { pageEncoding: generation, checkpointPages: 50 } as const;
    await byUs(cluster.node('a', options, { path, app }), 1, STEPS.slice(0, 4));
    await agreed(rig, binary, path);
    await byThem(rig, binary, path, STEPS.slice(4, 7));
    await agreed(rig, binary, path);
    await byUs(cluster.node('a', options, { path, app }), 2, STEPS.slice(7, 10));
    await agreed(rig, binary, path);
    await byThem(rig, binary, path, STEPS.slice(10, 12));
    await agreed(rig, binary, path);
    await byUs(cluster.node('a', options, { path, app }), 3, STEPS.slice(12));
    await agreed(rig, binary, path);
  });

  test.each(['block', 'frame'] as const)('%s generation: we take over a bucket that it began', async (generation) => {
    const binary = binaries.paths.get(generation) as string;
    const app = `begun${generation}`;
    await using rig = await LitestreamRig.open(cluster.nats, `test_${app}_wal`);
    const path = join(cluster.directory.path, `${app}.db`);
    createDatabase(path, 4096);
    await byThem(rig, binary, path, STEPS.slice(0, 7));
    await agreed(rig, binary, path);
    const before = await endOf(rig);
    await byUs(cluster.node('a', { pageEncoding: generation }, { path, app }), 1, STEPS.slice(7));
    expect(await endOf(rig)).toBeGreaterThanOrEqual(before + STEPS.length - 7);
    await agreed(rig, binary, path);
  });
});
