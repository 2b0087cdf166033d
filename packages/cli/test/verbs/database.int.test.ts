/** `canopy db replicate|follow|restore|verify|status|ltx`, with a directory and with a bucket, beside a program that writes. */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { systemEnv } from '@canopy/core';
import { DirectoryStore, openLog, Primary } from '@canopy/sqlite';
import {
  eventually,
  type TemporaryDirectory,
  type TestNatsServer,
  temporaryDirectory,
  testNatsServer,
} from '@canopy/testkit';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { EXIT } from '../../src/exit-codes.ts';
import { canopy, startCanopy } from './canopy.ts';

let nats: TestNatsServer;
beforeAll(async () => {
  nats = await testNatsServer();
});
afterAll(() => nats?.[Symbol.asyncDispose]());

let root: TemporaryDirectory;
beforeEach(async () => {
  root = await temporaryDirectory('cli-db');
  onTestFinished(() => root.remove());
});

const file = (name: string): string => join(root.path, name);

function application(name: string): DatabaseSync {
  const connection = new DatabaseSync(file(name), { timeout: 5000 });
  connection.exec('PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, x)');
  onTestFinished(() => connection.close());
  return connection;
}

async function running(...args: string[]) {
  const child = await startCanopy(args);
  onTestFinished(() => child[Symbol.asyncDispose]());
  return child;
}

const rows = (name: string): number => {
  const connection = new DatabaseSync(file(name), { timeout: 5000 });
  try {
    return Number(connection.prepare('SELECT count(*) AS n FROM t').get()?.n);
  } finally {
    connection.close();
  }
};

describe.each(['a directory', 'a bucket'])('canopy db with %s', (kind) => {
  const store = (): string => (kind === 'a directory' ? file('log') : `${nats.url}/cli-orders`);

  it('ships, follows, lists and restores; ctrl-C ends it in order', async () => {
    const app = application('a.db');
    app.exec('INSERT INTO t VALUES (1, 1)');
    const primary = await running('db', 'replicate', file('a.db'), '--store', store());
    await primary.line(/^replicating .*a\.db from /);
    const copy = await running('db', 'follow', file('b.db'), '--store', store());
    await copy.line(/^following into .*b\.db/);
    for (let i = 2; i <= 20; i++) app.exec(`INSERT INTO t VALUES (${i}, ${i})`);
    await eventually(() => rows('b.db') === 20, { what: '20 rows in the copy' });
    app.exec('INSERT INTO t VALUES (21, 21)');
    primary.signal('SIGINT');
    expect(await primary.exited, primary.output).toMatchObject({ code: EXIT.ok });
    expect(primary.output).toMatch(/stopped at /);
    await eventually(() => rows('b.db') === 21, { what: 'the last row in the copy' });
    copy.signal('SIGTERM');
    expect(await copy.exited, copy.output).toMatchObject({ code: EXIT.ok });

    const list = await canopy(['db', 'ltx', '--store', store(), '--level', '0']);
    expect(list.code, list.output).toBe(EXIT.ok);
    expect(list.output).toMatch(/LEVEL +FROM +TO +KIND +SIZE +EPOCH +NODE +WRITTEN\n0 +1 +1 +snapshot/);
    const restored = await canopy(['db', 'restore', '--store', store(), '--to', file('c.db')]);
    expect(restored.code, restored.output).toBe(EXIT.ok);
    expect(restored.output).toContain('check: full, ok');
    expect(rows('c.db')).toBe(21);
    const first = await canopy([
      '-o',
      'json',
      'db',
      'restore',
      '--store',
      store(),
      '--to',
      file('d.db'),
      '--txid',
      '1',
    ]);
    expect(JSON.parse(first.output)).toMatchObject({ file: file('d.db') });
    expect(rows('d.db')).toBe(1);
  });

  it('tells of itself, and when a restore was last proven', async () => {
    application('a.db').exec('INSERT INTO t VALUES (1, 1)');
    const place = `${store()}-3`;
    const primary = await running('db', 'replicate', file('a.db'), '--store', place, '--node', 'writer');
    await primary.line(/^replicating/);
    const first = await canopy(['db', 'status', '--store', place]);
    expect(first.code, first.output).toBe(EXIT.ok);
    expect(first.output).toMatch(/: writer wrote last, under epoch 1\n/);
    expect(first.output).toMatch(/restore last proven: +never/);
    expect(first.output).toMatch(/LEVEL +OBJECTS +SIZE +FROM +TO\n0 +1 /);
    const proof = await canopy(['db', 'verify', '--store', place, '--node', 'checker', '--scratch', root.path]);
    expect(proof.code, proof.output).toBe(EXIT.ok);
    expect(proof.output).toContain('the log can be restored up to its end');
    expect(readdirSync(root.path).filter((name) => name.startsWith('canopy-verify'))).toEqual([]);
    const second = await canopy(['-o', 'json', 'db', 'status', '--store', place]);
    expect(second.code, second.output).toBe(EXIT.ok);
    expect(JSON.parse(second.output)).toMatchObject({
      lastWriter: { node: 'writer', epoch: 1 },
      end: { kind: 'snapshot' },
      verified: { node: 'checker', method: 'full' },
      levels: [{ level: 0, objects: 1 }],
      problems: [],
      warnings: kind === 'a bucket' ? [{ code: 'LOG_NOT_REPLICATED' }] : [],
    });
  });

  it('a second replicate fences the first, which says so and exits 1', async () => {
    application('a.db').exec('INSERT INTO t VALUES (1, 1)');
    const first = await running('db', 'replicate', file('a.db'), '--store', `${store()}-2`, '--node', 'first');
    await first.line(/^replicating/);
    const restored = await canopy(['db', 'restore', '--store', `${store()}-2`, '--to', file('b.db')]);
    expect(restored.code, restored.output).toBe(EXIT.ok);
    const copy = await running('db', 'follow', file('copy.db'), '--store', `${store()}-2`);
    await copy.line(/^following/);
    copy.signal('SIGTERM');
    await copy.exited;
    const second = await running('db', 'replicate', file('copy.db'), '--store', `${store()}-2`, '--node', 'second');
    await second.line(/^replicating/);
    expect(await first.exited, first.output).toMatchObject({ code: EXIT.failed });
    expect(first.output).toContain('SQLITE_FENCED');
  });
});

describe('canopy db with a log that has suffered', () => {
  /** A directory with an image and what follows it. */
  async function damaged(): Promise<{ readonly store: string; readonly objects: readonly string[] }> {
    const app = application('a.db');
    await using primary = new Primary({ db: file('a.db'), store: file('log'), node: 'writer' });
    await primary.start();
    for (let i = 1; i <= 3; i++) {
      app.exec(`INSERT INTO t VALUES (${i}, hex(randomblob(200)))`);
      await primary.sync();
    }
    await primary.stop();
    const { log, close } = await openLog(file('log'));
    const objects = (await log.entries()).map(({ name }) => name);
    await close();
    return { store: file('log'), objects };
  }

  it('a damaged object is found, and no proof is noted', async () => {
    const { store, objects } = await damaged();
    const object = join(store, objects.at(-1) as string);
    const bytes = readFileSync(object);
    bytes[120] = (bytes[120] as number) ^ 0xff;
    writeFileSync(object, bytes);
    const told = await canopy(['db', 'verify', '--store', store, '--scratch', root.path]);
    expect(told).toMatchObject({ code: EXIT.failed, output: expect.stringContaining('SQLITE_VERIFY_FAILED') });
    expect(readdirSync(root.path).filter((name) => name.startsWith('canopy-verify'))).toEqual([]);
    expect((await canopy(['db', 'status', '--store', store])).output).toMatch(/restore last proven: +never/);
  });

  it('a hole is told, with exit code 1', async () => {
    const { store, objects } = await damaged();
    const { log, close } = await openLog(store);
    await log.store.delete(objects.at(-2) as string);
    await close();
    const told = await canopy(['db', 'status', '--store', store]);
    expect(told.code, told.output).toBe(EXIT.failed);
    expect(told.output).toContain("! the end of the log can't be restored");
    expect(told.output).toContain('! the history has holes');
    const proof = await canopy(['db', 'verify', '--store', store]);
    expect(proof).toMatchObject({ code: EXIT.failed, output: expect.stringContaining('SQLITE_VERIFY_FAILED') });
  });

  it('an empty log is nothing to be told of', async () => {
    DirectoryStore.open({ path: file('log'), env: systemEnv(), make: {} }).close();
    for (const verb of ['status', 'verify']) {
      const told = await canopy(['db', verb, '--store', file('log')]);
      expect(told).toMatchObject({ code: EXIT.notFound, output: expect.stringContaining('SQLITE_LOG_EMPTY') });
    }
  });
});

describe('canopy db, wrong use', () => {
  it.each([
    [['db', 'replicate', 'x.db'], EXIT.usage, '--store'],
    [['db', 'replicate', 'x.db', '--store', 'nats://127.0.0.1:1'], EXIT.usage, 'SQLITE_STORE_INVALID'],
    [['db', 'restore', '--store', 's3://bucket', '--to', 'x'], EXIT.usage, 'SQLITE_STORE_INVALID'],
    [['db', 'restore', '--store', 'DIR', '--to', 'x', '--txid', 'seven'], EXIT.usage, 'no transaction'],
    [['db', 'restore', '--store', 'DIR', '--to', 'x', '--time', 'noon'], EXIT.usage, 'no time'],
    [['db', 'restore', '--store', 'DIR', '--to', 'x'], EXIT.unreachable, 'BLOB_BUCKET_MISSING'],
    [['db', 'verify', '--store', 'DIR'], EXIT.unreachable, 'BLOB_BUCKET_MISSING'],
    [['db', 'verify'], EXIT.usage, '--store'],
    [['db', 'status', '--store', 'DIR'], EXIT.unreachable, 'BLOB_BUCKET_MISSING'],
    [['db', 'status', 'orders', '--store', 'DIR'], EXIT.usage, 'not both'],
    [['db', 'ltx', '--store', 'nats://127.0.0.1:1/none'], EXIT.unreachable, 'NATS_UNREACHABLE'],
    [['db', 'ltx', '--store', 'DIR', '--level', '12'], EXIT.usage, 'level'],
  ])('%j', async (args, code, says) => {
    const told = await canopy(args.map((arg) => (arg === 'DIR' ? file('none') : arg === 'x' ? file('x') : arg)));
    expect(told, told.output).toMatchObject({ code, output: expect.stringContaining(says) });
    expect(existsSync(file('x'))).toBe(false);
  });

  it('a file is never replaced without being told to', async () => {
    const app = application('a.db');
    const primary = await running('db', 'replicate', file('a.db'), '--store', file('log'));
    await primary.line(/^replicating/);
    app.exec('INSERT INTO t VALUES (1, 1)');
    const before = statSync(file('a.db')).ino;
    const refused = await canopy(['db', 'restore', '--store', file('log'), '--to', file('a.db')]);
    expect(refused).toMatchObject({ code: EXIT.failed, output: expect.stringContaining('SQLITE_DESTINATION_EXISTS') });
    expect(statSync(file('a.db')).ino).toBe(before);
  });
});
