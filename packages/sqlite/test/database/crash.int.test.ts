/**
 * Random deaths: database processes of primary and standbys are killed at any moment while an application writes and
 * reads back what was acknowledged. Whoever is primary at the end has every acknowledged row, all nodes agree, and no
 * file was ever torn.
 */

import { seededRandom } from '@canopy/core';
import { eventually } from '@canopy/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { integrity, rowsOf, TestCluster, type TestNode, write } from './cluster.ts';
import { Writer } from './writer.ts';

const ROUNDS = 8;

let cluster: TestCluster;
beforeEach(async () => {
  cluster = await TestCluster.start();
});
afterEach(() => cluster[Symbol.asyncDispose]());

const standsBy = (node: TestNode): Promise<unknown> =>
  eventually(() => node.database.status().role === 'standby', { what: `${node.name} is a standby`, timeoutMs: 30_000 });

test('no acknowledged row is lost whatever dies', async () => {
  const seed = process.env.CANOPY_SEED ?? String(process.pid);
  const random = seededRandom(seed);
  let lives = 0;
  const start = (name: string): Promise<TestNode> =>
    cluster.started(
      `${name}-${lives++}`,
      { checkpointPages: 40, lockTimeout: 5000 },
      { path: `${cluster.directory.path}/${name}.db` },
    );
  const nodes = [await start('a'), await start('b'), await start('c')];
  let primary = 0;
  let epoch = 1;
  await nodes[primary]?.promote(epoch);
  write(nodes[primary]?.path as string, 'CREATE TABLE t(id INTEGER PRIMARY KEY, writer TEXT, x TEXT)');
  await nodes[primary]?.database.sync();
  const acknowledged = new Set<string>();
  for (let round = 0; round < ROUNDS; round++) {
    const active = nodes[primary] as TestNode;
    const name = `${active.name}/${round}`;
    const writer = new Writer(active.path, {
      seed: `${seed}-${round}`,
      pauseMs: 1,
      checkpoints: random.int(2) === 0,
      name,
    });
    try {
      await eventually(() => writer.committed.length > 5 + random.int(60));
      const standby = nodes[(primary + 1 + random.int(2)) % 3] as TestNode;
      if (random.int(2) === 0) process.kill(standby.pid(), 'SIGKILL');
      const seen = writer.committed.at(-1) as number;
      await active.database.sync();
      // The application deletes every seventh row later on.
      acknowledged.add(`${name}:${seen % 7 === 0 ? seen - 1 : seen}`);
      await new Promise((resolve) => setTimeout(resolve, random.next() * 40));
      process.kill(active.pid(), 'SIGKILL');
      await new Promise((resolve) => setTimeout(resolve, random.next() * 20));
    } finally {
      await writer.end(random.int(2) === 0 ? 'SIGKILL' : 'SIGTERM');
    }
    // New objects for all: as if every node's own process had died too.
    await Promise.all(nodes.map((node) => node.database.stop()));
    for (const [i, letter] of ['a', 'b', 'c'].entries()) nodes[i] = await start(letter);
    await Promise.all(nodes.map(standsBy));
    primary = random.int(3);
    await (nodes[primary] as TestNode).promote(++epoch);
    const rows = rowsOf((nodes[primary] as TestNode).path, `SELECT writer, max(id) AS last FROM t GROUP BY writer`);
    const lasts = new Map((rows as { writer: string; last: number }[]).map((row) => [row.writer, row.last]));
    for (const key of acknowledged) {
      const [writerName, id] = key.split(':') as [string, string];
      expect(lasts.get(writerName) ?? 0, `seed ${seed}, round ${round}, ${key}`).toBeGreaterThanOrEqual(Number(id));
    }
  }
  const end = await (nodes[primary] as TestNode).database.sync();
  const expected = rowsOf((nodes[primary] as TestNode).path);
  for (const node of nodes) {
    await node.database.waitFor(end);
    expect(rowsOf(node.path), `seed ${seed}, ${node.name}`).toEqual(expected);
    expect(integrity(node.path), `seed ${seed}, ${node.name}`).toBe('ok');
  }
  // Each of them was found to fork from a known position: none was taken for a stranger's.
  for (const node of nodes)
    for (const path of node.database.status().divergences) expect(path).not.toContain('divergent-0-');
  const kept = nodes.flatMap((node) => node.database.status().divergences).length;
  process.stdout.write(`crash rounds ${ROUNDS}, divergences kept ${kept}, rows ${expected.length}, seed ${seed}\n`);
});
