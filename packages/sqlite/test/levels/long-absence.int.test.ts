/** A primary that died and comes back when the single transactions that it shipped have been merged and deleted. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { epoch } from '@canopy/core';
import { eventually } from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { rowsOf, TestCluster, type TestNode, write } from '../database/cluster.ts';

const FAST = { compactionLevels: ['1s'], keepSegments: '0s', verifyInterval: '0s' } as const;
let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start();
});

afterAll(() => cluster[Symbol.asyncDispose]());

/** Two nodes; the first ships some rows and dies, the second goes on until the first one's entries are merged away. */
async function outlived(
  app: string,
  meanwhile: (path: string) => void,
): Promise<{ first: TestNode; second: TestNode }> {
  const first = cluster.node(`${app}1`, FAST, { app });
  const second = cluster.node(`${app}2`, FAST, { app });
  await first.database.start();
  await first.promote(1);
  write(first.path, 'CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)', "INSERT INTO t VALUES (1, 'shared')");
  const shared = await first.database.sync();
  await second.database.start();
  await second.database.waitFor(shared);
  const { path } = first;
  process.kill(first.pid(), 'SIGKILL');
  await eventually(() => first.database.status().role === 'failed');
  await first.database.stop();
  meanwhile(path);
  await second.promote(2);
  for (let i = 2; i < 40; i++) {
    write(second.path, `INSERT INTO t VALUES (${i}, 'second')`);
    await second.database.sync();
  }
  const kept = async (): Promise<{ objects: { level: number; maxTxid: number; epoch: number }[] }> =>
    (await second.database.admin?.({ op: 'ltx.list' })) as never;
  await eventually(async () => (await kept()).objects.every(({ level, epoch: at }) => level > 0 || at === 2), {
    timeoutMs: 15_000,
  });
  const ends = (await kept()).objects.filter(({ level, epoch: at }) => level === 1 && at === 1);
  expect(ends.at(-1)?.maxTxid).toBe(shared.txid);
  const back = cluster.node(`${app}1`, FAST, { app, path });
  await back.database.start();
  await back.database.waitFor(await second.database.sync());
  expect(rowsOf(path)).toEqual(rowsOf(second.path));
  return { first: back, second };
}

describe('back after the merge', () => {
  test('with everything shipped nothing diverged', { timeout: 60_000 }, async () => {
    const { first } = await outlived('quiet', () => {});
    expect(first.database.status().divergences).toEqual([]);
  });

  test('with a commit of its own exactly that is kept', { timeout: 60_000 }, async () => {
    const { first } = await outlived('own', (path) => write(path, "INSERT INTO t VALUES (2, 'lost')"));
    const [directory] = first.database.status().divergences;
    const changes = readFileSync(join(directory as string, 'changes.jsonl'), 'utf8')
      .trim()
      .split('\n');
    expect(changes.filter((line) => line.includes('"insert"'))).toHaveLength(1);
    expect(changes.join()).toContain('lost');
    expect(changes.join()).not.toContain('second');
    expect(directory).toContain(`divergent-${epoch(1)}-`);
  });
});
