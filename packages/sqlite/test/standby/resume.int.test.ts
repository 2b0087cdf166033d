/** A standby that is killed at any instant goes on where it was, can be promoted at once, and reads of it stay read-your-writes. */
import { type Position, seededRandom } from '@canopy/core';
import { eventually } from '@canopy/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { integrity, rowsOf, TestCluster, type TestNode, write } from '../database/cluster.ts';
import { Writer } from '../database/writer.ts';

let cluster: TestCluster;
beforeEach(async () => {
  cluster = await TestCluster.start();
});
afterEach(async () => {
  await cluster?.[Symbol.asyncDispose]();
});

const standsBy = (node: TestNode): Promise<unknown> =>
  eventually(() => node.database.status().role === 'standby', { what: `${node.name} is a standby`, timeoutMs: 20_000 });

test('killed under load, then promoted right away: every acknowledged row, on both nodes, at every turn', async () => {
  const seed = process.env.CANOPY_SEED ?? `${process.pid}`;
  const random = seededRandom(seed);
  let [active, standby] = await Promise.all([cluster.started('a'), cluster.started('b')]);
  await active.promote(1);
  write(active.path, 'CREATE TABLE t(id INTEGER PRIMARY KEY, writer TEXT, x TEXT)');
  const positions: Position[] = [await active.database.sync()];
  for (let turn = 2; turn <= 4; turn++) {
    await standby.database.waitFor(positions.at(-1) as Position);
    const writer = new Writer(active.path, { seed: `${seed}-${turn}`, name: active.name });
    await eventually(() => writer.committed.length > 20, { what: 'rows' });
    await new Promise((resolve) => setTimeout(resolve, random.next() * 400));
    standby.events.length = 0;
    process.kill(standby.pid(), 'SIGKILL');
    await standby.event('failed');
    await writer.end();
    positions.push(await active.database.sync());
    const expected = rowsOf(active.path);
    await standsBy(standby);
    expect(
      standby.events.some((event) => event.type === 'bootstrap_progress'),
      `rebuilt, seed ${seed}`,
    ).toBe(false);
    // The old primary is still there: the log decides.
    positions.push(await standby.promote(turn));
    expect(rowsOf(standby.path), `seed ${seed}, turn ${turn}`).toEqual(expected);
    expect(integrity(standby.path)).toBe('ok');
    await active.event('fenced');
    await active.database.demote();
    await standsBy(active);
    // What was acknowledged under any epoch so far is readable on both.
    for (const position of positions)
      for (const node of [active, standby])
        await node.database.waitFor(position, { signal: AbortSignal.timeout(20_000) });
    expect(rowsOf(active.path)).toEqual(expected);
    [active, standby] = [standby, active];
  }
}, 120_000);

test('a position whose transaction another epoch has is not waited for in vain, nor taken for another', async () => {
  const [a, b] = await Promise.all([cluster.started('a'), cluster.started('b')]);
  await a.promote(1);
  write(a.path, 'CREATE TABLE t(id INTEGER PRIMARY KEY, x)');
  const own = await a.database.sync();
  await b.database.waitFor(own);
  await a.database.demote();
  const claimed = await b.promote(2);
  await a.database.waitFor(claimed);
  await a.database.waitFor(own);
  const never = { epoch: own.epoch, txid: claimed.txid };
  for (const node of [a, b])
    await expect(node.database.waitFor(never)).rejects.toMatchObject({ code: 'SQLITE_POSITION_UNKNOWN' });
}, 60_000);
