/** A primary with a backlog prepares one entry ahead: the order of puts, what a put that fails leaves, and the bound on memory. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type DatabaseEvent, epoch, silentLogger, systemEnv } from '@canopy/core';
import type { BlobInfo, Blobs } from '@canopy/nats';
import { eventually } from '@canopy/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { resolveSqliteOptions } from '../../src/database/options.ts';
import { sqliteErrors } from '../../src/errors.ts';
import { parseName, segmentName } from '../../src/log/names.ts';
import { SegmentLog } from '../../src/log/segment-log.ts';
import { encodeLtx } from '../../src/ltx/encoder.ts';
import { Primary } from '../../src/primary/primary.ts';
import { restore } from '../../src/restore/restore.ts';
import { DirectoryStore } from '../../src/store/directory-store.ts';

const MIB = 1024 * 1024;
const env = { ...systemEnv(), log: silentLogger };

/** One call of `put` of a level-0 object. */
interface Put {
  readonly txid: number;
  readonly digest: string | undefined;
}

/** A real store that tells of each put, and can make one wait or fail. */
class Gate {
  readonly puts: Put[] = [];
  /** The most at a time. */
  atOnce = 0;
  #inFlight = 0;
  before: (put: Put) => Promise<void> = async () => {};

  around(store: DirectoryStore): Blobs {
    const put = async (...given: Parameters<Blobs['put']>): Promise<BlobInfo> => {
      const [name, , options] = given;
      const parsed = parseName(name);
      if (parsed?.level !== 0) return store.put(...given);
      expect(options?.createOnly).toBe(true);
      const call = { txid: parsed.maxTxid, digest: options?.headers?.['Canopy-Digest'] };
      this.puts.push(call);
      this.atOnce = Math.max(this.atOnce, ++this.#inFlight);
      try {
        await this.before(call);
        return await store.put(...given);
      } finally {
        this.#inFlight--;
      }
    };
    return new Proxy<Blobs>(store, {
      get: (target, key) => {
        if (key === 'put') return put;
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  }
}

let directory: string;
let application: DatabaseSync;
let store: DirectoryStore;
let log: SegmentLog;
let gate: Gate;
let primary: Primary;
let events: DatabaseEvent[];
let changes = 0;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'canopy-pipeline-'));
  const path = join(directory, 'a.db');
  application = new DatabaseSync(path, { timeout: 5000 });
  application.exec(
    'PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(id INTEGER PRIMARY KEY, x)',
  );
  store = DirectoryStore.open({ path: join(directory, 'log'), env, make: {} });
  gate = new Gate();
  log = new SegmentLog({ blobs: gate.around(store), clock: env.clock });
  events = [];
  const options = resolveSqliteOptions({ compactionLevels: [], snapshotInterval: '1h' });
  const deps = { path, node: 'a', epoch: epoch(1), env, log, options };
  const start = { position: { epoch: epoch(0), txid: 0 }, cursor: undefined, restartable: false, commit: 0 };
  const hear = { onEvent: (event: DatabaseEvent) => void events.push(event), onChange: () => void changes++ };
  primary = await Primary.open({ ...deps, ...hear }, { ...start, claim: 'image' }, new AbortController().signal);
});
afterEach(async () => {
  gate.before = async () => {};
  await primary?.close();
  application.close();
  store.close();
  rmSync(directory, { recursive: true, force: true });
});

/** Commits of 1 MiB that compresses to nothing less, all of them while the log takes nothing. */
function write(mib: number): void {
  for (let i = 0; i < mib; i++)
    application.exec(
      'WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 256) INSERT INTO t(x) SELECT randomblob(3900) FROM n',
    );
}

/** The first put of a transaction waits until this is opened. */
function hold(txid: number): { reached: Promise<void>; open(): void } {
  const reached = Promise.withResolvers<void>();
  const opened = Promise.withResolvers<void>();
  gate.before = async (put) => {
    if (put.txid < txid) return;
    reached.resolve();
    await opened.promise;
  };
  return { reached: reached.promise, open: opened.resolve };
}

const stored = async (): Promise<number[]> => (await log.entries(1)).map(({ maxTxid }) => maxTxid);
const upTo = (txid: number): number[] => Array.from({ length: txid }, (_, i) => i + 1);

test('a backlog goes one entry after the other; who waits is told once everything is stored', async () => {
  const first = hold(2);
  write(1);
  await first.reached;
  write(36);
  let told = false;
  const synced = primary.sync().finally(() => {
    told = true;
  });
  const untold: boolean[] = [];
  gate.before = async () => void untold.push(told);
  first.open();
  const { txid } = await synced;

  expect(txid).toBeGreaterThan(5);
  expect(gate.puts.map((put) => put.txid)).toEqual(upTo(txid));
  expect(gate.atOnce).toBe(1);
  expect(untold).not.toContain(true);
  expect(await stored()).toEqual(upTo(txid));
  expect(await primary.finish(5000)).toBe(true);
});

test('what the log does not have yet is told as such, from before it is sent until it is stored', async () => {
  await eventually(() => primary.isShipped, { what: 'shipped' });
  const { reached, open } = hold(2);
  const before = changes;
  write(1);
  expect(primary.isShipped).toBe(false);
  await reached;
  expect(changes).toBeGreaterThan(before);
  expect(primary.isShipped).toBe(false);
  write(1);
  open();
  await primary.sync();
  expect(primary.isShipped).toBe(true);
  await primary.close();
  expect(primary.isShipped, 'nobody knows what is committed from now on').toBe(false);
});

test('a log on a full disk: who waits is told so at once, the problem says what to do, and it goes on by itself', async () => {
  gate.before = async () => {
    throw sqliteErrors.create('SQLITE_DISK_FULL', { path: '/backup/log' });
  };
  write(1);
  await expect(primary.sync()).rejects.toMatchObject({ code: 'SQLITE_DISK_FULL' });
  expect(primary.problem).toContain(
    'the disk is full at /backup/log; free some space there, then it goes on by itself',
  );
  gate.before = async () => {};
  await primary.sync();
  expect(primary.problem).toBeUndefined();
});

test('who waits beside a writer that never lets the backlog drain is told once what it came after is stored', async () => {
  const first = hold(2);
  write(1);
  await first.reached;
  write(20);
  const size = (): number => Number(application.prepare('SELECT max(id) AS n FROM t').get()?.n);
  const before = size();
  const synced = primary.sync();
  // Each put finds more written than it takes, so no pass ever comes to an end; a bound, should nobody be told.
  let more = 12;
  gate.before = async () => {
    if (more-- > 0) write(10);
  };
  first.open();
  const { txid } = await synced;

  expect(more).toBeGreaterThan(0);
  more = 0;
  expect(txid).toBeLessThan((await primary.sync()).txid);
  const restored = join(directory, 'restored.db');
  await restore({ log, dest: restored, target: { txid } });
  const copy = new DatabaseSync(restored, { readOnly: true });
  expect(Number(copy.prepare('SELECT max(id) AS n FROM t').get()?.n)).toBeGreaterThanOrEqual(before);
  copy.close();
});

test('an entry of the middle that can not be stored holds up all behind it, and is tried again with the same bytes', async () => {
  const first = hold(2);
  write(1);
  await first.reached;
  write(36);
  let failures = 4;
  gate.before = async ({ txid }) => {
    if (txid !== 4 || failures-- <= 0) return;
    expect(await stored()).toEqual(upTo(3));
    throw new Error('no route to the store');
  };
  first.open();
  const { txid } = await primary.sync();

  const tries = gate.puts.filter((put) => put.txid === 4);
  expect(tries.length).toBe(5);
  expect(new Set(tries.map(({ digest }) => digest)).size).toBe(1);
  const others = gate.puts.filter((put) => put.txid !== 4).map((put) => put.txid);
  expect(others).toEqual(upTo(txid).filter((one) => one !== 4));
  expect(gate.puts.map((put) => put.txid)).toEqual(gate.puts.map((put) => put.txid).sort((a, b) => a - b));
  expect(await stored()).toEqual(upTo(txid));
});

test('once an entry of the middle is refused nothing behind it is sent, and nobody is told that it was stored', async () => {
  const first = hold(2);
  write(1);
  await first.reached;
  write(36);
  gate.before = async ({ txid }) => {
    if (txid === 4) await successor(4);
  };
  const synced = primary.sync();
  synced.catch(() => {});
  first.open();
  await expect(synced).rejects.toMatchObject({ code: 'SQLITE_FENCED' });
  expect(primary.isFenced).toBe(true);
  expect(await primary.finish(5000)).toBe(false);

  expect(gate.puts.map((put) => put.txid)).toEqual(upTo(4));
  expect(await stored()).toEqual(upTo(4));
  expect((await log.entry(4))?.epoch).toBe(2);
  expect(events.some(({ type }) => type === 'fenced')).toBe(true);
});

/** Another node takes the transaction, under a higher epoch. */
async function successor(txid: number): Promise<void> {
  const header = { pageSize: 4096, commit: 1, minTxid: txid, maxTxid: txid, timestamp: 1, walOffset: 32 };
  const bytes = encodeLtx({ ...header, walSize: 0, walSalt1: 0, walSalt2: 0 }, [
    { pgno: 1, data: new Uint8Array(4096) },
  ]);
  const other = new SegmentLog({ blobs: store, clock: env.clock });
  const entry = await other.append({ txid, epoch: epoch(2), node: 'b', kind: 'claim', bytes });
  expect(entry.name).toBe(segmentName(txid));
}

test('an entry and the one prepared after it are all that is held of a backlog', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const first = hold(2);
  write(1);
  await first.reached;
  write(80);
  const held: number[] = [];
  collect();
  const before = process.memoryUsage().arrayBuffers;
  gate.before = async () => {
    // Long enough for whatever is prepared ahead.
    await env.clock.sleep(50);
    collect();
    held.push(process.memoryUsage().arrayBuffers - before);
  };
  first.open();
  await primary.sync();
  expect(held.length).toBeGreaterThan(6);
  // Two entries of 8 MiB of frames, with room for what incompressible pages grow by.
  expect(Math.max(...held)).toBeLessThan(30 * MIB);
}, 60_000);
