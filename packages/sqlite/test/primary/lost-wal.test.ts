/** What was read of the WAL was changed behind our back: an image goes on with the log, and none of a lost state is stored. */
import { closeSync, fstatSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { isDeepStrictEqual } from 'node:util';
import { type DatabaseEvent, epoch, silentLogger, systemEnv } from '@canopy/core';
import type { BlobInfo, Blobs } from '@canopy/nats';
import { eventually } from '@canopy/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { resolveSqliteOptions } from '../../src/database/options.ts';
import { segmentName } from '../../src/log/names.ts';
import { SegmentLog } from '../../src/log/segment-log.ts';
import { Primary } from '../../src/primary/primary.ts';
import { restore } from '../../src/restore/restore.ts';
import { DirectoryStore } from '../../src/store/directory-store.ts';
import { FRAME_HEADER_SIZE } from '../../src/wal/header.ts';
import { rowsOf } from '../database/cluster.ts';

const PAGE = 4096;
const env = { ...systemEnv(), log: silentLogger };

let directory: string;
let path: string;
let application: DatabaseSync;
let store: DirectoryStore;
let log: SegmentLog;
let primary: Primary | undefined;
let events: DatabaseEvent[];
/** While what is sent as a stream is read, and before the store has its end. */
let whenRead: () => Promise<void>;
/** Names of what was sent as a stream, each time. */
let streamed: string[];

/** The store, with a look at the bytes of each stream as they go by. */
function watched(blobs: DirectoryStore): Blobs {
  async function* passing(data: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of data) {
      yield piece;
      await whenRead();
    }
  }
  const put = (...[name, data, options]: Parameters<Blobs['put']>): Promise<BlobInfo> => {
    if (data instanceof Uint8Array) return blobs.put(name, data, options);
    streamed.push(name);
    return blobs.put(name, passing(data), options);
  };
  return new Proxy<Blobs>(blobs, {
    get: (target, key) => {
      if (key === 'put') return put;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'canopy-lost-'));
  path = join(directory, 'a.db');
  application = new DatabaseSync(path, { timeout: 5000 });
  application.exec('PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(id INTEGER PRIMARY KEY, x)');
  store = DirectoryStore.open({ path: join(directory, 'log'), env, make: {} });
  log = new SegmentLog({ blobs: watched(store), clock: env.clock });
  events = [];
  streamed = [];
  whenRead = async () => {};
});
afterEach(async () => {
  await primary?.close();
  primary = undefined;
  application.close();
  store.close();
  rmSync(directory, { recursive: true, force: true });
});

async function start(snapshotInterval: string, checkpointPages = 1000): Promise<Primary> {
  const options = resolveSqliteOptions({ compactionLevels: [], snapshotInterval, checkpointPages });
  const deps = { path, node: 'a', epoch: epoch(1), env, log, options };
  const from = { position: { epoch: epoch(0), txid: 0 }, cursor: undefined, restartable: false, commit: 0 };
  const hear = { onEvent: (event: DatabaseEvent) => void events.push(event), onChange: () => {} };
  primary = await Primary.open({ ...deps, ...hear }, { ...from, claim: 'image' }, new AbortController().signal);
  return primary;
}

function insert(rows: number): void {
  for (let i = 0; i < rows; i++) application.exec('INSERT INTO t(x) VALUES (hex(randomblob(500)))');
}

const warnings = (code: string): string[] =>
  events.flatMap((event) => (event.type === 'warning' && event.code === code ? [event.message] : []));

/** The last frame that was read has another checksum from now on: its page stays as it is, which SQLite takes it by. */
async function damage(): Promise<number> {
  const entry = (await log.end())?.entry;
  const last = entry?.walEnd;
  if (last === undefined) throw new Error('the log ends nowhere in the WAL');
  const fd = openSync(`${path}-wal`, 'r+');
  try {
    writeSync(fd, new Uint8Array(8), 0, 8, last.offset - PAGE - FRAME_HEADER_SIZE + 16);
  } finally {
    closeSync(fd);
  }
  return entry?.maxTxid as number;
}

async function expectRestored(): Promise<void> {
  const dest = join(directory, 'restored.db');
  await restore({ log, dest, overwrite: true });
  expect(isDeepStrictEqual(rowsOf(dest), rowsOf(path))).toBe(true);
}

test('frames that were read have changed: told with the reason, and the whole goes on with the log', async () => {
  const live = await start('1h');
  insert(3);
  await live.sync();
  await damage();
  insert(1);
  const { txid } = await live.sync();
  expect(warnings('WAL_LOST')).toEqual(['the WAL was overwritten; sending a full image']);
  const segment = await log.read(txid);
  expect(segment?.ltx.pageCount).toBe(segment?.ltx.header.commit);
  await expectRestored();
  insert(2);
  await live.sync();
  expect(warnings('WAL_LOST').length).toBe(1);
  await expectRestored();
});

test('an image whose WAL is lost while it is read is not stored under the transaction that it was to be of', async () => {
  let lostAt: number | undefined;
  whenRead = async () => {
    lostAt ??= await damage();
  };
  const live = await start('1s');
  insert(20);
  await live.sync();
  await eventually(() => warnings('WAL_LOST').length > 0, { what: 'the loss' });
  expect(warnings('SNAPSHOT_FAILED')[0]).toContain('the WAL was overwritten');
  insert(5);
  const { txid } = await live.sync();
  // The next one is of what is there then.
  await eventually(async () => (await log.snapshots()).some(({ maxTxid }) => maxTxid >= txid), { what: 'a snapshot' });
  expect((await log.snapshots()).map(({ maxTxid }) => maxTxid)).not.toContain(lostAt);
  await expectRestored();
});

/** As `damage`, for every frame in the file. */
function damageAll(): void {
  const fd = openSync(`${path}-wal`, 'r+');
  try {
    const { size } = fstatSync(fd);
    for (let frame = 32; frame < size; frame += FRAME_HEADER_SIZE + PAGE)
      writeSync(fd, new Uint8Array(8), 0, 8, frame + 16);
  } finally {
    closeSync(fd);
  }
}

/** More than an entry holds in memory. */
function insertMuch(): void {
  application.exec(
    'INSERT INTO t(x) WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT randomblob(3900) FROM n',
  );
}

test.each(['frames', 'a full image'])(
  '%s: what is read while it is sent, and has changed, is not stored',
  { timeout: 60_000 },
  async (what) => {
    const live = await start('1h', 1_000_000);
    if (what !== 'frames') {
      insertMuch();
      await live.sync();
      damageAll();
      streamed = [];
    }
    let damaged = false;
    whenRead = async () => {
      if (damaged) return;
      insert(1);
      damageAll();
      insert(1);
      damaged = true;
    };
    const { txid: before } = live.position;
    if (what === 'frames') insertMuch();
    else insert(1);
    const { txid } = await live.sync();
    expect(damaged).toBe(true);
    expect(txid).toBe(before + 1);
    expect(streamed).toEqual([segmentName(txid), segmentName(txid)]);
    expect(warnings('WAL_LOST').at(-1)).toBe('the WAL was overwritten; sending a full image');
    const segment = await log.read(txid);
    expect(segment?.ltx.pageCount).toBe(segment?.ltx.header.commit);
    await expectRestored();
    insert(2);
    await live.sync();
    await expectRestored();
    expect(live.problem).toBeUndefined();
  },
);
