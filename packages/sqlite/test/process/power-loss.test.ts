/**
 * What a loss of power leaves, made by hand: files as the disk may have them, and a state of another boot. What is believed
 * of them decides what this node shows as the log's.
 */
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type DatabaseEvent, epoch, systemEnv } from '@canopy/core';
import { hasProcfs } from '@canopy/testkit';
import { expect, onTestFinished, test, vi } from 'vitest';
import { resolveSqliteOptions } from '../../src/database/options.ts';
import { Settlement } from '../../src/process/settlement.ts';
import { readState, type StandbyState, writeState } from '../../src/process/state-file.ts';
import { MemoryPages } from '../../src/standby/page-changes.ts';
import { ReplicaFile } from '../../src/standby/replica-file.ts';
import { memoryLog } from '../log/logs.ts';
import { Shipping } from '../restore/shipping.ts';
import { WalDatabase } from '../wal/databases.ts';

/** What reached the disk, in order, as the operating system was asked for it. */
const flushed: string[] = [];
vi.mock('node:fs', async (original) => {
  const real = await original<typeof import('node:fs')>();
  return {
    ...real,
    fsyncSync: (fd: number) => {
      flushed.push(`flush ${real.existsSync('/proc/self/fd') ? real.readlinkSync(`/proc/self/fd/${fd}`) : fd}`);
      real.fsyncSync(fd);
    },
    renameSync: (from: string, to: string) => {
      flushed.push(`rename ${to}`);
      real.renameSync(from, to);
    },
  };
});

const BOOT = 'this boot';
const PAGE = 1024;
const ROWS = 40;

interface Place {
  readonly path: string;
  readonly directory: string;
  readonly statePath: string;
  readonly events: DatabaseEvent[];
  /** The copy as of transaction `txid`, in rollback mode, and a state that says so. */
  copyAt(txid: number, facts?: Partial<StandbyState>): Buffer;
  settle(): ReturnType<Settlement['settle']>;
}

/** A node whose log has a transaction per row. */
async function place(): Promise<Place> {
  const source = new WalDatabase(PAGE);
  onTestFinished(() => source[Symbol.dispose]());
  const { log } = await memoryLog();
  const shipping = new Shipping(source, log);
  await shipping.run('CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)');
  for (let i = 0; i < ROWS; i++) await shipping.run('INSERT INTO t (body) VALUES (hex(randomblob(300)))');
  const path = join(source.directory, 'replica.db');
  const directory = `${path}-canopy`;
  mkdirSync(directory);
  const statePath = join(directory, 'state.json');
  const events: DatabaseEvent[] = [];
  const env = systemEnv();
  const spec = {
    path,
    platform: 'test',
    app: 'app',
    node: 'a',
    connection: { servers: [] },
    options: resolveSqliteOptions(),
  };
  const onEvent = (event: DatabaseEvent): void => void events.push(event);
  const copyAt = (txid: number, facts: Partial<StandbyState> = {}): Buffer => {
    const bytes = Buffer.from(shipping.states.get(txid) as Buffer);
    bytes.fill(1, 18, 20);
    writeFileSync(path, bytes);
    const at = { epoch: epoch(1), txid };
    const counter = bytes.readUInt32BE(24);
    const counters = { counterBefore: counter, counterAfter: counter };
    const state = { role: 'standby', from: at, to: at, ...counters, durable: true, boot: 'another boot', ...facts };
    writeState(statePath, state as StandbyState, { flush: true });
    return bytes;
  };
  const settle = async (): ReturnType<Settlement['settle']> => {
    const settled = await new Settlement(
      { spec, env, log, directory, statePath, boot: BOOT, onEvent },
      undefined,
    ).settle();
    if (settled.kind === 'replica') onTestFinished(() => settled.file.close());
    return settled;
  };
  return { path, directory, statePath, events, copyAt, settle };
}

function rowsIn(path: string): { rows: number; integrity: unknown } {
  using connection = new DatabaseSync(path);
  const integrity = Object.values(connection.prepare('PRAGMA integrity_check').get() ?? {})[0];
  return { rows: Number(connection.prepare('SELECT count(*) AS n FROM t').get()?.n), integrity };
}

test('a copy that was not flushed is made anew, though its change counter is the one of its state', async () => {
  const { path, copyAt, settle, events } = await place();
  const bytes = copyAt(30, { durable: false });
  // Of what was written last only page 1 reached the disk: the rest is of an older time, or nothing.
  writeFileSync(path, bytes.fill(0, bytes.length - 3 * PAGE));
  const settled = await settle();
  expect(settled).toMatchObject({ kind: 'replica', file: { position: { txid: ROWS + 1 } } });
  expect(rowsIn(path)).toEqual({ rows: ROWS, integrity: 'ok' });
  expect(events.map((event) => ('code' in event ? event.code : event.type))).toContain('COPY_NOT_FLUSHED');
  expect(events.map(({ type }) => type)).not.toContain('divergence_kept');
});

test('one that was flushed, or was not while the machine stayed up, goes on as it is', async () => {
  const { path, copyAt, settle, events } = await place();
  for (const facts of [{ durable: true }, { durable: false, boot: BOOT }]) {
    const bytes = copyAt(30, facts);
    const settled = await settle();
    expect(settled).toMatchObject({ kind: 'replica', file: { position: { txid: 30 } } });
    expect(readFileSync(path).equals(bytes)).toBe(true);
  }
  expect(events).toEqual([]);
});

test('a state that vouches for the file is gone from the disk before the first write that is not flushed', async () => {
  const { path, statePath, copyAt } = await place();
  const bytes = copyAt(30);
  const state = readState(statePath) as StandbyState;
  const options = {
    path,
    statePath,
    boot: BOOT,
    env: systemEnv(),
    busyTimeoutMs: 100,
    lockTimeoutMs: 1000,
    flush: false,
  };
  const file = new ReplicaFile(options, () => state.to);
  onTestFinished(() => file.close());
  const apply = async (txid: number): Promise<readonly string[]> => {
    flushed.length = 0;
    const changes = new MemoryPages(new Map([[2, bytes.subarray(PAGE, 2 * PAGE)]]));
    await file.apply({ to: { epoch: epoch(1), txid }, pageSize: PAGE, commit: bytes.length / PAGE, changes });
    return [...flushed];
  };
  const replaced = [`rename ${statePath}`, ...(hasProcfs() === undefined ? [`flush ${join(statePath, '..')}`] : [])];
  const { ino } = statSync(statePath);
  expect(await apply(31)).toEqual(expect.arrayContaining(replaced));
  expect(readState(statePath)).toMatchObject({ durable: false, boot: BOOT, to: { txid: 31 } });
  expect(statSync(statePath).ino).not.toBe(ino);
  // The others have nothing to take back.
  expect(await apply(32)).toEqual([]);
  file.flush();
  expect(readState(statePath)).toMatchObject({ durable: true, to: { txid: 32 } });
  expect(await apply(33)).toEqual(expect.arrayContaining(replaced));
});

test.skipIf(hasProcfs() !== undefined)(
  'what vouches for a file is written after the file and its directory are on the disk',
  async () => {
    const { path, directory, statePath, copyAt, settle } = await place();
    copyAt(30);
    const settled = await settle();
    if (settled.kind !== 'replica') throw new Error(settled.kind);
    flushed.length = 0;
    settled.file.flush();
    const state = [`flush ${statePath}.tmp`, `rename ${statePath}`, `flush ${directory}`];
    // The directory, because a journal that was removed there must not come back.
    expect(flushed).toEqual([`flush ${path}`, `flush ${join(path, '..')}`, ...state]);
  },
);

test.skipIf(hasProcfs() !== undefined)(
  'a copy that was made from the log has its name on the disk before anything follows',
  async () => {
    const { path, statePath, settle } = await place();
    flushed.length = 0;
    await settle();
    expect(flushed.indexOf(`rename ${statePath}`)).toBeGreaterThanOrEqual(0);
    expect(flushed.lastIndexOf(`flush ${join(path, '..')}`)).toBeGreaterThan(flushed.indexOf(`rename ${statePath}`));
    expect(rowsIn(path)).toEqual({ rows: ROWS, integrity: 'ok' });
  },
);

test("with an empty state file a copy that is the log's goes on; one that nobody can read is kept and made anew", async () => {
  const { path, directory, statePath, copyAt, settle, events } = await place();
  copyAt(ROWS + 1);
  writeFileSync(statePath, '');
  expect(await settle()).toMatchObject({ kind: 'replica' });
  expect(rowsIn(path)).toEqual({ rows: ROWS, integrity: 'ok' });

  const bytes = copyAt(30);
  // The header is there, the schema behind it is not.
  writeFileSync(path, bytes.fill(0xa5, 100, 2 * PAGE));
  writeFileSync(statePath, '');
  events.length = 0;
  expect(await settle()).toMatchObject({ kind: 'replica', file: { position: { txid: ROWS + 1 } } });
  expect(rowsIn(path)).toEqual({ rows: ROWS, integrity: 'ok' });
  const kept = events.find((event) => event.type === 'divergence_kept');
  expect(existsSync((kept as { directory: string }).directory)).toBe(true);
  expect(existsSync(directory)).toBe(true);
});
