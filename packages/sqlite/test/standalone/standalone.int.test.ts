/** Replication without a platform, into a bucket and into a directory. The application is a connection that stays open. */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import {
  eventually,
  type TemporaryDirectory,
  type TestNatsServer,
  temporaryDirectory,
  testNatsServer,
} from '@canopy/testkit';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { openLog, Primary, Replica, restore, type StoreOption } from '../../src/index.ts';
import { integrity, rowsOf, write } from '../database/cluster.ts';

let nats: TestNatsServer;
let root: TemporaryDirectory;
let buckets = 0;
beforeAll(async () => {
  nats = await testNatsServer();
});
afterAll(() => nats?.[Symbol.asyncDispose]());
beforeEach(async () => {
  root = await temporaryDirectory('standalone');
});
afterEach(() => root.remove());

const TABLE = 'PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, x)';
const file = (name: string): string => join(root.path, name);

function application(name: string): DatabaseSync {
  const connection = new DatabaseSync(file(name), { timeout: 5000 });
  onTestFinished(() => {
    if (connection.isOpen) connection.close();
  });
  return connection;
}

function primary(name: string, store: StoreOption, options: { create?: boolean } = {}): Primary {
  const made = new Primary({ db: file(name), store, node: name, ...options });
  onTestFinished(() => made.stop());
  return made;
}

function replica(name: string, store: StoreOption): Replica {
  const made = new Replica({ db: file(name), store, node: name });
  onTestFinished(() => made.stop());
  return made;
}

/** Entries of the log that hold the whole database. */
async function images(store: StoreOption): Promise<number> {
  const { log, close } = await openLog(store);
  const entries = await log.entries();
  await close();
  return entries.filter(({ kind }) => kind === 'snapshot').length;
}

describe.each(['a bucket', 'a directory'])('%s', (kind) => {
  let store: StoreOption;
  beforeEach(() => {
    store = kind === 'a bucket' ? `${nats.url}/standalone-${++buckets}` : `file://${file('log')}`;
  });

  test('what an application commits is in the log, in its copies and in what is restored', async () => {
    const app = application('a.db');
    app.exec(`${TABLE}; INSERT INTO t VALUES (1, 'before')`);
    const source = primary('a.db', store);
    await source.start();
    const copy = replica('b.db', store);
    await copy.start();
    for (let i = 2; i <= 50; i++) app.exec(`INSERT INTO t VALUES (${i}, hex(randomblob(300)))`);
    const position = await source.sync();
    await copy.waitFor(position);
    expect(rowsOf(file('b.db'))).toEqual(rowsOf(file('a.db')));
    expect(copy.position).toEqual(position);
    expect(copy.lag).toMatchObject({ tx: 0 });
    const restored = await restore({ store, dest: file('c.db'), check: 'full' });
    expect(restored.position).toEqual(position);
    expect(rowsOf(file('c.db'))).toEqual(rowsOf(file('a.db')));
  });

  test('a primary that is stopped and started beside an open application goes on without an image', async () => {
    const app = application('a.db');
    app.exec(TABLE);
    const first = primary('a.db', store);
    await first.start();
    app.exec('INSERT INTO t VALUES (1, 1)');
    await first.stop();
    const before = await images(store);
    app.exec('INSERT INTO t VALUES (2, 2)');
    const second = primary('a.db', store);
    const position = await second.start();
    expect(await images(store)).toBe(before);
    await restore({ store, dest: file('c.db'), check: 'full' });
    expect(rowsOf(file('c.db')), `at ${position.txid}`).toHaveLength(2);
    app.exec('INSERT INTO t VALUES (3, 3)');
    await second.sync();
    await restore({ store, dest: file('d.db'), check: 'full' });
    expect(rowsOf(file('d.db'))).toHaveLength(3);
  });

  test('so does one whose application has closed the database, with and without writing to it', async () => {
    write(file('a.db'), TABLE);
    for (const rows of [1, 2, 3]) {
      const source = primary('a.db', store);
      await source.start();
      write(file('a.db'), `INSERT INTO t VALUES (${rows}, 'while it runs')`);
      await source.stop();
    }
    expect(await images(store)).toBe(1);
    // Copied into the file and gone from the WAL: only the whole of it can tell.
    write(file('a.db'), "INSERT INTO t VALUES (9, 'while nobody looks')");
    const last = primary('a.db', store);
    await last.start();
    await restore({ store, dest: file('c.db'), check: 'full' });
    expect(rowsOf(file('c.db'))).toEqual(rowsOf(file('a.db')));
  });

  test('the second primary takes the log, the first one stops', async () => {
    const app = application('a.db');
    app.exec(TABLE);
    const first = primary('a.db', store);
    await first.start();
    app.exec('INSERT INTO t VALUES (1, 1)');
    const position = await first.sync();
    const copy = replica('b.db', store);
    await copy.start();
    await copy.waitFor(position);
    await copy.stop();
    const second = primary('b.db', store);
    await second.start();
    await eventually(() => first.isFenced && first.status().role === 'closed', { what: 'a fenced primary' });
    app.exec("INSERT INTO t VALUES (2, 'of the loser')");
    await expect(first.sync()).rejects.toMatchObject({
      code: 'SQLITE_FENCED',
      message: expect.stringMatching(/was taken under epoch 2 by another node; .+, under epoch 1, may not write$/),
    });
    write(file('b.db'), "INSERT INTO t VALUES (2, 'of the winner')");
    await second.sync();
    await restore({ store, dest: file('c.db'), check: 'full' });
    expect(rowsOf(file('c.db'), 'SELECT x FROM t WHERE id = 2')).toEqual([{ x: 'of the winner' }]);
    // Its file parts from the log: it is neither shipped nor touched.
    await expect(primary('a.db', store).start()).rejects.toMatchObject({ code: 'SQLITE_FOREIGN_FILE' });
    expect(rowsOf(file('a.db'), 'SELECT x FROM t WHERE id = 2')).toEqual([{ x: 'of the loser' }]);
  });

  test('another database than the one in the log is refused, and stays as it is', async () => {
    write(file('a.db'), TABLE, 'INSERT INTO t VALUES (1, 1)');
    const source = primary('a.db', store);
    await source.start();
    await source.stop();
    write(file('other.db'), 'CREATE TABLE mine(x)', 'INSERT INTO mine VALUES (7)');
    const { mtimeMs } = statSync(file('other.db'));
    await expect(primary('other.db', store).start()).rejects.toMatchObject({ code: 'SQLITE_FOREIGN_FILE' });
    await expect(replica('other.db', store).start()).rejects.toMatchObject({ code: 'SQLITE_FOREIGN_FILE' });
    expect(statSync(file('other.db')).mtimeMs).toBe(mtimeMs);
    expect(existsSync(file('other.db-canopy'))).toBe(false);
    expect(rowsOf(file('other.db'), 'SELECT x FROM mine')).toEqual([{ x: 7 }]);
  });

  test('a primary without a file begins with what the log has, when it is told to; a slip of the pen fences nobody', async () => {
    write(file('a.db'), TABLE, 'INSERT INTO t VALUES (1, 1)');
    const source = primary('a.db', store);
    await source.start();
    await source.stop();
    for (const side of ['', '-wal', '-shm']) rmSync(file(`a.db${side}`), { force: true });
    rmSync(file('a.db-canopy'), { recursive: true });
    await expect(primary('a.db', store).start()).rejects.toMatchObject({ code: 'SQLITE_FILE_MISSING' });
    writeFileSync(file('empty.db'), '');
    await expect(primary('empty.db', store).start()).rejects.toMatchObject({ code: 'SQLITE_FILE_MISSING' });
    await expect(primary('nowhere/a.db', store).start()).rejects.toMatchObject({ code: 'SQLITE_FILE_MISSING' });
    const astray = primary('nowhere/a.db', store, { create: true });
    await expect(astray.start()).rejects.toMatchObject({ code: 'SQLITE_DESTINATION_INVALID' });
    await expect(replica('nowhere/a.db', store).start()).rejects.toMatchObject({ code: 'SQLITE_DESTINATION_INVALID' });
    expect(existsSync(file('nowhere'))).toBe(false);
    const again = primary('a.db', store, { create: true });
    await again.start();
    expect(rowsOf(file('a.db'))).toHaveLength(1);
    expect(integrity(file('a.db'))).toBe('ok');
  });

  test('one whose file was replaced stops, and says why', async () => {
    write(file('a.db'), TABLE, 'INSERT INTO t VALUES (1, 1)');
    const source = primary('a.db', store);
    await source.start();
    copyFileSync(file('a.db'), file('new.db'));
    renameSync(file('new.db'), file('a.db'));
    await eventually(() => source.failure, { what: 'its end', timeoutMs: 30_000 });
    expect(source.failure).toMatchObject({ code: 'SQLITE_FILE_REPLACED' });
    await eventually(() => source.status().role === 'closed', { what: 'closed' });
    await expect(source.sync()).rejects.toMatchObject({ code: 'SQLITE_FILE_REPLACED' });
  });

  test('a restore replaces no file that is in use', async () => {
    const app = application('a.db');
    app.exec(TABLE);
    const source = primary('a.db', store);
    await source.start();
    await source.sync();
    const over = (name: string) => restore({ store, dest: file(name), overwrite: true });
    await expect(over('a.db')).rejects.toMatchObject({ code: 'SQLITE_IN_USE' });
    await source.stop();
    await expect(over('a.db')).rejects.toMatchObject({ code: 'SQLITE_DATABASE_BUSY' });
    app.exec('INSERT INTO t VALUES (9, 9)');
    app.close();
    await over('a.db');
    expect(rowsOf(file('a.db'))).toHaveLength(0);
    writeFileSync(file('text.db'), 'no database');
    await over('text.db');
  });

  test('a copy of a log that is not there is an error: nothing is made', async () => {
    const nowhere =
      typeof store === 'string' && store.startsWith('file:') ? `file://${file('nolog')}` : `${store}-none`;
    await expect(replica('c.db', nowhere).start()).rejects.toMatchObject({ code: 'BLOB_BUCKET_MISSING' });
    await expect(replica('c.db', nowhere).start()).rejects.toMatchObject({ code: 'BLOB_BUCKET_MISSING' });
  });

  test('the death of its process is survived', async () => {
    const app = application('a.db');
    app.exec(TABLE);
    const source = primary('a.db', store);
    await source.start();
    app.exec('INSERT INTO t VALUES (1, 1)');
    const before = await source.sync();
    const died = eventually(() => source.status().role === 'failed', { what: 'its death' });
    process.kill(pidOf(source), 'SIGKILL');
    await died;
    app.exec('INSERT INTO t VALUES (2, 2)');
    await eventually(() => source.status().role === 'primary', { what: 'a primary again', timeoutMs: 20_000 });
    const after = await source.sync();
    expect(after.epoch).toBeGreaterThan(before.epoch);
    await restore({ store, dest: file('c.db'), check: 'full' });
    expect(rowsOf(file('c.db'))).toHaveLength(2);
  });
});

test('a process that dies while it takes the log is started again, and takes it', async () => {
  write(file('a.db'), TABLE, 'INSERT INTO t VALUES (1, 1)');
  const source = primary('a.db', `file://${file('log')}`);
  await source.start();
  const taking = (async () => {
    for await (const event of source.watch()) if (event.type === 'promotion_started') return pidOf(source);
    throw new Error('it has stopped');
  })();
  process.kill(pidOf(source), 'SIGKILL');
  process.kill(await taking, 'SIGKILL');
  const deaths = await eventually(
    () => source.failure ?? (source.status().role === 'primary' && source.status().problem === undefined),
    { what: 'a primary again', timeoutMs: 30_000 },
  );
  expect(deaths).toBe(true);
  await source.sync();
});

test('a log that was there and is gone is an error, not an empty history', async () => {
  const store = `file://${file('log')}`;
  write(file('a.db'), TABLE, 'INSERT INTO t VALUES (1, 1)');
  const source = primary('a.db', store);
  await source.start();
  await source.stop();
  rmSync(file('log'), { recursive: true });
  await expect(primary('a.db', store).start()).rejects.toMatchObject({ code: 'BLOB_BUCKET_MISSING' });
  await expect(restore({ store, dest: file('c.db') })).rejects.toMatchObject({ code: 'BLOB_BUCKET_MISSING' });
});

test('a database process that is frozen is told, keeps no caller past its time, and is forgotten when it goes on', async () => {
  write(file('a.db'), TABLE);
  const source = primary('a.db', `file://${file('log')}`);
  await source.start();
  await source.sync();
  process.kill(pidOf(source), 'SIGSTOP');
  try {
    write(file('a.db'), 'INSERT INTO t VALUES (1, 1)');
    const silent = expect.stringContaining('does not answer');
    const hint = expect.stringContaining('kill -CONT');
    expect(await source.refresh(300)).toMatchObject({ lag: { tx: undefined }, problem: silent, hint });
    expect(source.status()).toMatchObject({ lag: { tx: undefined }, problem: silent });
    const late = source.sync({ signal: AbortSignal.timeout(100) });
    await expect(late).rejects.toMatchObject({ code: 'SQLITE_PROCESS_SILENT' });
  } finally {
    process.kill(pidOf(source), 'SIGCONT');
  }
  await source.sync();
  expect(await source.refresh()).toMatchObject({ lag: { tx: 0 }, problem: undefined });
});

test('started twice at once, by either name of the file, it is one start; what is kept beside it is beside the file', async () => {
  mkdirSync(file('data'));
  write(file('data/real.db'), TABLE, 'INSERT INTO t VALUES (1, 1)');
  symlinkSync('data/real.db', file('link.db'));
  const store = `file://${file('log')}`;
  const source = primary('link.db', store);
  const [one, other] = await Promise.all([source.start(), source.start()]);
  expect(other).toEqual(one);
  expect(await source.start()).toEqual(one);
  expect(source.status()).toMatchObject({ role: 'primary', path: file('data/real.db') });
  const copy = replica('b.db', store);
  await Promise.all([copy.start(), copy.start()]);
  write(file('link.db'), 'INSERT INTO t VALUES (2, 2)');
  await copy.waitFor(await source.sync());
  expect(rowsOf(file('b.db'))).toHaveLength(2);
  await source.stop();
  expect(readdirSync(root.path).filter((name) => name.startsWith('link'))).toEqual(['link.db']);
}, 60_000);

test('a copy that another program has written to ends, says what to do, and leaves the file', async () => {
  write(file('a.db'), TABLE);
  const store = `file://${file('log')}`;
  const source = primary('a.db', store);
  await source.start();
  await expect(source.sync({ durability: { applied: 1 } })).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
  const copy = replica('b.db', store);
  await copy.start();
  write(file('b.db'), "INSERT INTO t VALUES (7, 'not the log’s')");
  write(file('a.db'), 'INSERT INTO t VALUES (1, 1)');
  await source.sync();
  const failure = await eventually(() => copy.failure, { what: 'its end', timeoutMs: 30_000 });
  expect(failure).toMatchObject({ code: 'SQLITE_FOREIGN_FILE', hint: expect.stringContaining('move the file') });
  await eventually(() => copy.status().role === 'closed', { what: 'closed' });
  expect(rowsOf(file('b.db'))).toHaveLength(1);
});

function pidOf(database: Primary): number {
  return Number(JSON.parse(readFileSync(`${database.status().path}-canopy/holder.json`, 'utf8')).pid);
}
