/**
 * A file meets a log that is not its own: by a slip in the store's name, or because the log was made anew. Both logs are at the very
 * same positions under the same epochs, so nothing but their ids tells them apart. Real files, whole engines, the memory twin.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type DatabaseEvent, epoch, type Position, silentLogger, systemEnv } from '@canopy/core';
import { MemoryNats } from '@canopy/nats/memory';
import { eventually, temporaryDirectory } from '@canopy/testkit';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { resolveSqliteOptions } from '../../src/database/options.ts';
import { SegmentLog } from '../../src/log/segment-log.ts';
import { DatabaseEngine } from '../../src/process/engine.ts';
import { readState } from '../../src/process/state-file.ts';

const env = { ...systemEnv(), log: silentLogger };
const ROWS = 3;
let nats: MemoryNats;
let root: string;
beforeEach(async () => {
  nats = new MemoryNats();
  const directory = await temporaryDirectory('identity');
  root = directory.path;
  onTestFinished(() => directory.remove());
});

const bucketOf = (app: string): string => `test_${app}_wal`;
const statePath = (path: string): string => `${path}-canopy/state.json`;

/** An engine in this process for the file `name` on the log of `app`. */
class Node {
  readonly path: string;
  readonly events: DatabaseEvent[] = [];
  readonly engine: DatabaseEngine;

  constructor(name: string, app: string, how: { copy?: boolean; managed?: boolean } = {}) {
    this.path = join(root, name);
    const options = resolveSqliteOptions({ compactionLevels: [], verifyInterval: 0 });
    const spec = { path: this.path, platform: 'test', app, node: 'host', connection: { servers: [] }, options };
    this.engine = new DatabaseEngine({
      spec: { ...spec, unmanaged: how.managed !== true, mustExist: how.copy === true },
      env,
      pid: process.pid,
      connect: async () => nats.session(),
      onEvent: (event) => void this.events.push(event),
      onStatus: () => {},
    });
    onTestFinished(() => this.engine.stop());
  }

  get state(): ReturnType<typeof readState> {
    return readState(statePath(this.path));
  }

  promote(of: number): Promise<Position> {
    return this.engine.promote({ epoch: epoch(of), signal: AbortSignal.timeout(20_000) });
  }

  has(text: string): Promise<unknown> {
    return eventually(() => this.engine.status().problem?.includes(text), { what: `says ${text}`, timeoutMs: 20_000 });
  }
}

function write(path: string, sql: string): void {
  const connection = new DatabaseSync(path, { timeout: 5000 });
  connection.exec(sql);
  connection.close();
}

function bodies(path: string): string[] {
  const connection = new DatabaseSync(path, { timeout: 5000 });
  const rows = connection.prepare('SELECT body FROM t ORDER BY id').all();
  connection.close();
  return rows.map(({ body }) => String(body));
}

/** A database of its own and its primary: transaction 1 is an image, each row after it one more. */
async function begun(name: string, app: string): Promise<Node> {
  const made = new Node(name, app);
  write(made.path, 'PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, body)');
  await made.engine.start();
  await made.promote(1);
  for (let i = 1; i <= ROWS; i++) await add(made, `${app}${i}`);
  return made;
}

async function add(to: Node, body: string): Promise<Position> {
  write(to.path, `INSERT INTO t(body) VALUES ('${body}')`);
  return to.engine.sync();
}

async function copyOf(name: string, app: string, at: Position): Promise<Node> {
  const copy = new Node(name, app, { copy: true });
  await copy.engine.start();
  await copy.engine.waitFor(at, { signal: AbortSignal.timeout(20_000) });
  return copy;
}

const logOf = async (app: string): Promise<SegmentLog> =>
  new SegmentLog({ blobs: await nats.session().blobs(bucketOf(app)), clock: env.clock });
const names = async (app: string): Promise<string[]> => (await (await logOf(app)).all()).map(({ name }) => name);

/** What is in the place of a log that was deleted: another database's, at the same position. */
async function madeAnew(app: string, of: string): Promise<Node> {
  nats.dropBlobs(bucketOf(app));
  const made = new Node(`new-${of}.db`, app);
  write(made.path, 'PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, body)');
  await made.engine.start();
  await made.promote(1);
  for (let i = 1; i <= ROWS; i++) await add(made, `${of}${i}`);
  return made;
}

test('a primary and a copy that are sent to another log by a slip are refused, and nobody notices', async () => {
  const a = await begun('a.db', 'a');
  const b = await begun('b.db', 'b');
  const copy = await copyOf('copy.db', 'b', b.engine.status().position);
  await Promise.all([b.engine.stop(), copy.engine.stop()]);
  expect(a.engine.status().position).toEqual(b.engine.status().position);
  const before = await names('a');
  for (const strayed of [new Node('b.db', 'a'), new Node('copy.db', 'a', { copy: true })]) {
    const kept = [readFileSync(strayed.path), readFileSync(statePath(strayed.path))];
    const error = await strayed.engine.start().then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({
      code: 'SQLITE_FOREIGN_FILE',
      message: expect.stringMatching(
        /belongs to log \w{16}, last seen as test_b_wal, but test_a_wal holds log \w{16}$/,
      ),
      hint: expect.stringContaining('name the one of this file: test_b_wal'),
    });
    expect([readFileSync(strayed.path), readFileSync(statePath(strayed.path))]).toEqual(kept);
  }
  expect(await names('a')).toEqual(before);
  await add(a, 'a4');
  expect(a.events.some(({ type }) => type === 'fenced')).toBe(false);
  const again = new Node('b.db', 'b');
  await again.engine.start();
  await again.promote(2);
  await add(again, 'b4');
  expect(bodies(again.path)).toEqual(['b1', 'b2', 'b3', 'b4']);
});

test('a log that was made anew while they were stopped takes neither its copy nor its former primary', async () => {
  const old = await begun('o.db', 'x');
  const copy = await copyOf('copy.db', 'x', old.engine.status().position);
  await Promise.all([old.engine.stop(), copy.engine.stop()]);
  const made = await madeAnew('x', 'q');
  await made.engine.stop();
  for (const stale of [
    new Node('o.db', 'x'),
    new Node('copy.db', 'x', { copy: true }),
    new Node('o.db', 'x', { managed: true }),
  ])
    await expect(stale.engine.start()).rejects.toMatchObject({
      code: 'SQLITE_FOREIGN_FILE',
      hint: expect.stringContaining('The log was made anew since'),
    });
  await made.engine.stop();
  expect(bodies(made.path)).toEqual(['q1', 'q2', 'q3']);
  for (const name of ['o.db', 'copy.db']) expect(bodies(join(root, name))).toEqual(['x1', 'x2', 'x3']);
});

test('a copy that follows while its log is made anew applies nothing of the new one', async () => {
  const old = await begun('o.db', 'x');
  const copy = await copyOf('copy.db', 'x', old.engine.status().position);
  await old.engine.stop();
  const made = await madeAnew('x', 'q');
  await add(made, 'q4');
  await copy.has('belongs to log');
  await add(made, 'q5');
  expect(copy.engine.status()).toMatchObject({ role: 'failed' });
  await copy.engine.stop();
  expect(bodies(copy.path)).toEqual(['x1', 'x2', 'x3']);
});

test('a primary whose log is made anew under it stops, and writes nothing into the new one', async () => {
  const old = await begun('o.db', 'x');
  const made = await madeAnew('x', 'q');
  const before = await names('x');
  write(old.path, `INSERT INTO t(body) VALUES ('x4')`);
  await expect(old.engine.sync({ signal: AbortSignal.timeout(20_000) })).rejects.toMatchObject({
    code: 'SQLITE_LOG_LOST',
  });
  expect(await names('x')).toEqual(before);
  await add(made, 'q4');
  expect(old.events.some(({ type }) => type === 'fenced')).toBe(false);
});

test('what an earlier version has left is not refused, and learns its log with the next apply or append', async () => {
  const a = await begun('a.db', 'a');
  const copy = await copyOf('copy.db', 'a', a.engine.status().position);
  await Promise.all([a.engine.stop(), copy.engine.stop()]);
  const id = (await logOf('a')).findId();
  for (const path of [a.path, copy.path]) {
    const { log, ...rest } = JSON.parse(readFileSync(statePath(path), 'utf8'));
    expect(log).toEqual({ id: await id, store: 'test_a_wal' });
    writeFileSync(statePath(path), JSON.stringify(rest));
  }
  const again = new Node('a.db', 'a');
  await again.engine.start();
  await again.promote(2);
  expect(again.state?.log?.id).toBe(await id);
  const follower = await copyOf('copy.db', 'a', await add(again, 'a4'));
  expect(follower.state?.log?.id).toBe(await id);
});

test('a log of an earlier version is not refused; files and log go on with one id from then on', async () => {
  const a = await begun('a.db', 'a');
  const copy = await copyOf('copy.db', 'a', a.engine.status().position);
  await Promise.all([a.engine.stop(), copy.engine.stop()]);
  const blobs = await nats.session().blobs(bucketOf('a'));
  for (const { name } of await blobs.list('ltx/')) {
    const found = await blobs.read(name);
    const { 'Canopy-Log': _, ...headers } = found?.info.headers ?? {};
    await blobs.put(name, found?.bytes ?? new Uint8Array(), { headers });
  }
  const again = new Node('a.db', 'a');
  await again.engine.start();
  await again.promote(2);
  const follower = await copyOf('copy.db', 'a', await add(again, 'a4'));
  expect(bodies(follower.path)).toEqual(['a1', 'a2', 'a3', 'a4']);
  expect(follower.state?.log?.id).toBe(await (await logOf('a')).findId());
});

test('an entry without an id at the end hides neither whose log it is nor its id', async () => {
  const a = await begun('a.db', 'a');
  const b = await begun('b.db', 'b');
  const id = a.state?.log?.id;
  await Promise.all([a.engine.stop(), b.engine.stop()]);
  const blobs = await nats.session().blobs(bucketOf('a'));
  const last = await blobs.read((await names('a')).at(-1) as string);
  const { 'Canopy-Log': _, ...headers } = last?.info.headers ?? {};
  await blobs.put(last?.info.name as string, last?.bytes ?? new Uint8Array(), { headers });
  await expect(new Node('b.db', 'a').engine.start()).rejects.toMatchObject({ code: 'SQLITE_FOREIGN_FILE' });
  const { log: __, ...rest } = JSON.parse(readFileSync(statePath(a.path), 'utf8'));
  writeFileSync(statePath(a.path), JSON.stringify(rest));
  const again = new Node('a.db', 'a');
  await again.engine.start();
  await again.promote(2);
  expect((await (await logOf('a')).all()).map(({ logId }) => logId)).toEqual([...Array(ROWS).fill(id), undefined, id]);
});

test('a new node has the id of the log that it is made from, and goes on with it as primary', async () => {
  const a = await begun('a.db', 'a');
  const next = new Node('b.db', 'a', { managed: true });
  await next.engine.start();
  await next.engine.waitFor(a.engine.status().position, { signal: AbortSignal.timeout(20_000) });
  const id = a.state?.log?.id;
  expect(next.state?.log).toEqual({ id, store: 'test_a_wal' });
  await a.engine.stop();
  await next.promote(2);
  await add(next, 'a4');
  expect(new Set((await (await logOf('a')).all()).map(({ logId }) => logId))).toEqual(new Set([id]));
  expect(next.state).toMatchObject({ role: 'primary', log: { id } });
  await next.engine.demote();
  expect(next.state).toMatchObject({ role: 'standby', log: { id } });
});

test('where the file is gone another log is no danger to it: the copy is made from that', async () => {
  const old = await begun('o.db', 'x');
  await add(old, 'x4');
  const copy = await copyOf('copy.db', 'x', old.engine.status().position);
  await Promise.all([old.engine.stop(), copy.engine.stop()]);
  const made = await madeAnew('x', 'q');
  rmSync(copy.path);
  expect(existsSync(statePath(copy.path))).toBe(true);
  const again = await copyOf('copy.db', 'x', await made.engine.sync());
  expect(bodies(again.path)).toEqual(['q1', 'q2', 'q3']);
  expect(again.state?.log?.id).toBe(made.state?.log?.id);
});
