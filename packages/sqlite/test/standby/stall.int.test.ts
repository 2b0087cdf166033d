/** A standby that does not get on says so within the bound, says why, and says nothing that it does not know. */
import { DatabaseSync } from 'node:sqlite';
import type { ConnectionSpec } from '@canopy/core';
import { eventually, TcpProxy } from '@canopy/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { rowsOf, TestCluster, type TestNode, write } from '../database/cluster.ts';

const OPTIONS = { stallAfter: 1000, lockTimeout: 3000 };

let cluster: TestCluster;
let stack: AsyncDisposableStack;
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  cluster = stack.use(await TestCluster.start());
});
afterEach(() => stack.disposeAsync());

/** The standby's connection leads through the proxy. */
async function pair(): Promise<{ a: TestNode; b: TestNode; proxy: TcpProxy }> {
  const proxy = stack.use(await TcpProxy.start(cluster.nats.url));
  const connection: ConnectionSpec = { ...cluster.connection, servers: [proxy.url] };
  const a = await cluster.started('a');
  const b = await cluster.started('b', OPTIONS, { connection });
  await a.promote(1);
  write(a.path, 'CREATE TABLE t(id INTEGER PRIMARY KEY, x)');
  await b.database.waitFor(await a.database.sync());
  await eventually(() => b.database.status().lag.tx === 0, { what: 'no lag' });
  return { a, b, proxy };
}

const isStalled = (node: TestNode): boolean => node.events.some((event) => event.type === 'stalled');

const told = (node: TestNode) => node.events.filter((event) => event.type.startsWith('following_'));

async function recovers(a: TestNode, b: TestNode): Promise<void> {
  await b.database.waitFor(await a.database.sync(), { signal: AbortSignal.timeout(30_000) });
  expect(rowsOf(b.path)).toEqual(rowsOf(a.path));
  const shown = () => b.database.status();
  await eventually(() => shown().problem === undefined && shown().lag.tx === 0, {
    what: 'all well',
    timeoutMs: 20_000,
  });
}

test('cut off from the server: an alarm, lag unknown; over when the server is back', async () => {
  const { a, b, proxy } = await pair();
  await proxy.refuse();
  write(a.path, 'INSERT INTO t(x) VALUES (1)');
  await a.database.sync();
  const unknown = { tx: undefined, ms: undefined, bytes: undefined };
  // Before it is told: nobody who asks hears that nothing is behind.
  await eventually(() => b.database.status().lag.tx === undefined, { what: 'an unknown lag', timeoutMs: 20_000 });
  await eventually(() => told(b).length > 0, { what: 'the alarm', timeoutMs: 20_000 });
  expect(told(b)).toMatchObject([{ type: 'following_interrupted', reason: expect.stringContaining('NATS is away') }]);
  await eventually(() => b.database.status().problem?.includes('NATS is away'), { what: 'the reason' });
  expect(b.database.status().lag).toEqual(unknown);
  await proxy.heal();
  await recovers(a, b);
  await eventually(() => told(b).length > 1, { what: 'the end of it' });
  expect(told(b).map(({ type }) => type)).toEqual(['following_interrupted', 'following_resumed']);
  expect(isStalled(b), 'nobody knew that the log moved').toBe(false);
}, 60_000);

test('a connection that is there but silent: the same', async () => {
  const { a, b, proxy } = await pair();
  proxy.drop('both');
  await eventually(() => told(b).length > 0, { what: 'the alarm', timeoutMs: 20_000 });
  await eventually(() => b.database.status().lag.tx === undefined, { what: 'unknown lag', timeoutMs: 20_000 });
  await proxy.heal();
  await recovers(a, b);
}, 90_000);

test('the log is seen to move, but its objects do not come: an alarm that names the transaction', async () => {
  const { a, b, proxy } = await pair();
  proxy.drop('up');
  write(a.path, 'INSERT INTO t(x) VALUES (hex(randomblob(5000)))');
  const end = await a.database.sync();
  await eventually(() => b.database.status().lag.tx === 1, { what: 'a lag' });
  expect(b.database.status()).toMatchObject({ logEnd: end, lag: { tx: 1, bytes: expect.any(Number) } });
  const told = await b.event('stalled');
  expect(told.sinceMs).toBeGreaterThanOrEqual(1000);
  const reason = `transaction ${end.txid} is being fetched`;
  await eventually(() => b.database.status().problem?.includes(reason), { what: 'the reason' });
  const lag = b.database.status().lag;
  expect(lag.ms).toBeGreaterThanOrEqual(1000);
  expect(lag.bytes).toBeGreaterThan(5000);
  await proxy.heal();
  await recovers(a, b);
}, 90_000);

test('a reader that never lets go: an alarm, again and again, readers undisturbed; its end lets it go on', async () => {
  const { a, b } = await pair();
  const reader = new DatabaseSync(b.path, { timeout: 100 });
  try {
    reader.exec('BEGIN');
    expect(reader.prepare('SELECT count(*) AS n FROM t').get()).toEqual({ n: 0 });
    write(a.path, 'INSERT INTO t(x) VALUES (1)');
    await a.database.sync();
    await eventually(() => b.events.filter((event) => event.type === 'stalled').length >= 3, {
      what: 'three alarms',
      timeoutMs: 20_000,
    });
    expect(b.database.status().problem).toMatch(/other programs keep the file|stayed locked by another program/);
    expect(b.database.status().lag.tx).toBe(1);
    expect(reader.prepare('SELECT count(*) AS n FROM t').get()).toEqual({ n: 0 });
    reader.exec('COMMIT');
  } finally {
    reader.close();
  }
  await recovers(a, b);
}, 60_000);

test('an idle standby is no stalled standby', async () => {
  const { a, b } = await pair();
  await new Promise((resolve) => setTimeout(resolve, 4500));
  expect(isStalled(b)).toBe(false);
  expect(b.database.status()).toMatchObject({ problem: undefined, lag: { tx: 0, ms: 0, bytes: 0 } });
  await recovers(a, b);
}, 60_000);
