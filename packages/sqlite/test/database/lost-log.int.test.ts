import { existsSync } from 'node:fs';
import { epoch, systemEnv } from '@canopy/core';
import { type Blobs, connectNats, type NatsSession } from '@canopy/nats';
import { eventually } from '@canopy/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { resolveSqliteOptions } from '../../src/database/options.ts';
import { segmentName } from '../../src/log/names.ts';
import { DatabaseEngine } from '../../src/process/engine.ts';
import { rowsOf, TestCluster, type TestNode, write } from './cluster.ts';

const BUCKET = 'test_app_wal';
const STREAM = `OBJ_${BUCKET}`;
const TABLE = 'CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT)';

let cluster: TestCluster;
let session: NatsSession;
beforeEach(async () => {
  cluster = await TestCluster.start();
  session = await connectNats(cluster.connection, { name: 'operator', env: systemEnv() });
});
afterEach(async () => {
  await session?.close();
  await cluster?.[Symbol.asyncDispose]();
});

const ask = async (api: string, body: object = {}): Promise<{ success?: boolean; message?: { data: string } }> => {
  const answer = await session.bus.request(`$JS.API.STREAM.${api}.${STREAM}`, Buffer.from(JSON.stringify(body)));
  return JSON.parse(Buffer.from(answer.data).toString());
};

async function remakeBucket(): Promise<Blobs> {
  expect((await ask('DELETE')).success).toBe(true);
  return session.ensureBlobs(BUCKET);
}

/** Takes away the bytes of an object whose entry stays. */
async function damage(name: string): Promise<void> {
  const subject = `$O.${BUCKET}.M.${paddedBase64url(name)}`;
  const { message } = await ask('MSG.GET', { last_by_subj: subject });
  const { nuid } = JSON.parse(Buffer.from(message?.data ?? '', 'base64').toString()) as { nuid: string };
  expect(await ask('PURGE', { filter: `$O.${BUCKET}.C.${nuid}` })).toMatchObject({ success: true, purged: 1 });
}

function paddedBase64url(text: string): string {
  const encoded = Buffer.from(text).toString('base64url');
  return encoded.padEnd(Math.ceil(encoded.length / 4) * 4, '=');
}

async function rowsShipped(node: TestNode, ...ids: number[]): Promise<{ epoch: number; txid: number }> {
  for (const id of ids) write(node.path, `INSERT INTO t VALUES(${id}, 'x')`);
  return node.database.sync();
}

const hasRole = (node: TestNode, role: string): Promise<unknown> =>
  eventually(() => node.database.status().role === role, { what: `${node.name} is ${role}`, timeoutMs: 20_000 });

test('the bucket is deleted and made anew under a primary: nothing is acknowledged, no file is touched', async () => {
  const a = await cluster.started('a');
  const [b, c] = await Promise.all([cluster.started('b'), cluster.started('c')]);
  await a.promote(1);
  write(a.path, TABLE);
  const shipped = await rowsShipped(a, 1, 2);
  await Promise.all([b.database.waitFor(shipped as never), c.database.waitFor(shipped as never)]);
  await c.database.stop();
  const blobs = await remakeBucket();
  write(a.path, `INSERT INTO t VALUES(3, 'x')`);
  await expect(a.database.sync()).rejects.toMatchObject({ code: 'SQLITE_LOG_LOST' });
  expect((await a.event('failed')).error).toMatchObject({ code: 'SQLITE_LOG_LOST' });
  expect(a.database.status().problem).toContain('no longer has transaction');
  await eventually(async () => (await blobs.list('')).length === 0, { what: 'the entry is withdrawn' });
  await hasRole(b, 'opening');
  expect(b.database.status()).toMatchObject({ lag: { tx: undefined, ms: undefined, bytes: undefined } });
  await eventually(() => b.database.status().problem?.includes('but the log ends at 0'), { what: 'b says why' });
  await expect(b.promote(2)).rejects.toMatchObject({ code: 'SQLITE_NOT_READY', retryable: true });
  await expect(cluster.node('c2', {}, { path: c.path }).database.start()).rejects.toMatchObject({
    code: 'SQLITE_LOG_BEHIND',
  });
  await a.database.demote().catch(() => {});
  await hasRole(a, 'opening');
  for (const [node, rows] of [
    [a, 3],
    [b, 2],
    [c, 2],
  ] as const)
    expect(rowsOf(node.path).length).toBe(rows);
});

test('a first primary that comes back to an empty log does not begin it again', async () => {
  const a = await cluster.started('a');
  await a.promote(1);
  write(a.path, TABLE);
  await rowsShipped(a, 1);
  process.kill(a.pid(), 'SIGSTOP');
  await remakeBucket();
  process.kill(a.pid(), 'SIGKILL');
  await a.event('failed');
  const again = cluster.node('a', {}, { path: a.path });
  await a.database.stop();
  await expect(again.database.start()).rejects.toMatchObject({ code: 'SQLITE_LOG_BEHIND' });
  expect(rowsOf(a.path)).toHaveLength(1);
});

test('an object is damaged: a standby that needs it is made anew beyond it, and can be promoted', async () => {
  const a = await cluster.started('a', { snapshotInterval: '1s' });
  const b = await cluster.started('b');
  await a.promote(1);
  write(a.path, TABLE);
  await b.database.waitFor((await rowsShipped(a, 1)) as never);
  process.kill(b.pid(), 'SIGSTOP');
  const { txid } = await rowsShipped(a, 2);
  await damage(segmentName(txid));
  process.kill(b.pid(), 'SIGCONT');
  let id = 3;
  await eventually(
    async () => {
      // A snapshot is due a second after the last at the earliest.
      if (id < 5) await rowsShipped(a, id++);
      return a.events.some((event) => event.type === 'snapshot_created' && event.position.txid > txid);
    },
    { what: 'a snapshot beyond it', timeoutMs: 20_000 },
  );
  await b.database.waitFor((await a.database.sync()) as never);
  expect(b.events.some((event) => event.type === 'warning' && event.code === 'SQLITE_LOG_DAMAGED')).toBe(true);
  await a.database.stop();
  await b.promote(2);
  expect(rowsOf(b.path)).toHaveLength(id - 1);
});

test('a standby whose next entries are gone keeps its file and is not promoted until it is made anew', async () => {
  const a = await cluster.started('a');
  const c = await cluster.started('c');
  await a.promote(1);
  write(a.path, TABLE);
  await c.database.waitFor((await rowsShipped(a, 1)) as never);
  process.kill(c.pid(), 'SIGSTOP');
  // One entry each, or what is deleted below might be nothing.
  let end = await rowsShipped(a, 2);
  for (const id of [3, 4, 5, 6]) end = await rowsShipped(a, id);
  const blobs = await session.blobs(BUCKET);
  const kept = new Map<string, { bytes: Uint8Array; headers: Readonly<Record<string, string>> }>();
  for (const { name } of await blobs.list('ltx/')) {
    const { bytes, info } = (await blobs.read(name)) as {
      bytes: Uint8Array;
      info: { headers: Record<string, string> };
    };
    if ([end.txid, end.txid - 1].some((txid) => segmentName(txid) === name)) continue;
    kept.set(name, { bytes, headers: info.headers });
    await blobs.delete(name);
  }
  process.kill(c.pid(), 'SIGCONT');
  await hasRole(c, 'opening');
  await eventually(() => c.database.status().problem?.includes('missing'), { what: 'c says why' });
  expect(existsSync(c.path) && rowsOf(c.path)).toHaveLength(1);
  await expect(c.promote(2)).rejects.toMatchObject({ code: 'SQLITE_NOT_READY' });
  for (const [name, { bytes, headers }] of kept) await blobs.put(name, bytes, { headers });
  await hasRole(c, 'standby');
  await c.database.waitFor(end as never);
  expect(rowsOf(c.path)).toEqual(rowsOf(a.path));
  expect(c.database.status().divergences).toEqual([]);
});

/** Inside this process: what the platform's process would not let happen. */
async function engineOf(node: TestNode, hear: (type: string) => void, refusedMs = 60_000): Promise<DatabaseEngine> {
  const { connection } = cluster;
  const options = resolveSqliteOptions();
  const engine = new DatabaseEngine({
    spec: { path: node.path, platform: 'test', app: 'app', node: node.name, connection, options },
    env: systemEnv(),
    pid: process.pid,
    refusedMs,
    connect: () => connectNats(connection, { name: node.name, env: systemEnv() }),
    onEvent: (event) => hear(event.type),
    onStatus: () => {},
  });
  await engine.start();
  return engine;
}

test('a promotion that is done when its abort arrives is undone', async () => {
  const controller = new AbortController();
  const engine = await engineOf(cluster.node('a'), (type) => {
    if (type === 'promotion_completed') setImmediate(() => controller.abort(new Error('the term is over')));
  });
  try {
    await expect(engine.promote({ epoch: epoch(1), signal: controller.signal })).rejects.toThrow('the term is over');
    expect(engine.status().role).toBe('standby');
    const again = await engine.promote({ epoch: epoch(2), signal: AbortSignal.timeout(10_000) });
    expect(again.epoch).toBe(2);
  } finally {
    await engine.stop();
  }
});

test('a fenced primary that nobody demotes leaves the role by itself', async () => {
  const heard: string[] = [];
  const engine = await engineOf(cluster.node('a'), (type) => heard.push(type), 300);
  try {
    const at = await engine.promote({ epoch: epoch(1), signal: AbortSignal.timeout(10_000) });
    const b = await cluster.started('b');
    await b.database.waitFor(at);
    await b.promote(2);
    await eventually(() => engine.status().role === 'standby', { what: 'a left', timeoutMs: 20_000 });
    expect(heard).toContain('fenced');
    write(b.path, TABLE);
    await engine.waitFor((await rowsShipped(b, 1)) as never, { signal: AbortSignal.timeout(10_000) });
  } finally {
    await engine.stop();
  }
});
