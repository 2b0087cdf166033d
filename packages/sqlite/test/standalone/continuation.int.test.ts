/** A primary that was killed, and what became of its file before the next one: has the file still what the log has? */
import { copyFileSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type DatabaseEvent, type Position, systemEnv } from '@canopy/core';
import { eventually, type TemporaryDirectory, temporaryDirectory } from '@canopy/testkit';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { describeDivergences, Primary, restore } from '../../src/index.ts';
import { FRAME_HEADER_SIZE } from '../../src/wal/header.ts';
import { rowsOf, write } from '../database/cluster.ts';

const FRAME = FRAME_HEADER_SIZE + 4096;

let root: TemporaryDirectory;
let path: string;
let store: string;
beforeEach(async () => {
  root = await temporaryDirectory('continuation');
  path = join(root.path, 'a.db');
  store = join(root.path, 'log');
  write(path, 'PRAGMA journal_mode=WAL', 'CREATE TABLE t(id INTEGER PRIMARY KEY, x)');
});
afterEach(() => root.remove());

const ids = (to: number): object[] => Array.from({ length: to }, (_, i) => ({ id: i + 1 }));
const idsIn = (file: string): object[] => rowsOf(file).map((row) => ({ id: (row as { id: number }).id }));

interface Started {
  readonly primary: Primary;
  readonly events: DatabaseEvent[];
}

async function started(): Promise<Started> {
  const primary = new Primary({ db: path, store, node: 'a' });
  onTestFinished(() => primary.stop());
  const events: DatabaseEvent[] = [];
  void (async () => {
    for await (const event of primary.watch()) events.push(event);
  })();
  await primary.start();
  return { primary, events };
}

const warnings = (events: readonly DatabaseEvent[]): string[] =>
  events.flatMap((event) => (event.type === 'warning' ? [event.code] : []));

/** Five rows are acknowledged and in the WAL alone, where a kill of both the application and the primary leaves them. */
async function killedWithRowsInWal(): Promise<{ acknowledged: Position; before: Buffer }> {
  const { primary } = await started();
  const stat = statSync(path);
  const { clock } = systemEnv();
  await eventually(() => clock.wall() > stat.mtimeMs + 200, { what: 'the file is older than what follows' });
  const before = readFileSync(path);
  const app = new DatabaseSync(path, { timeout: 5000 });
  app.exec('PRAGMA wal_autocheckpoint=0');
  // Each is an entry of its own.
  let acknowledged = primary.status().position;
  for (let id = 1; id <= 5; id++) {
    app.exec(`INSERT INTO t VALUES (${id}, hex(randomblob(100)))`);
    acknowledged = await primary.sync();
  }
  const wal = readFileSync(`${path}-wal`);
  await primary.stop();
  app.close();
  // What a kill leaves: nothing was copied, and nothing noted.
  writeFileSync(path, before);
  utimesSync(path, stat.atime, stat.mtime);
  writeFileSync(`${path}-wal`, wal);
  rmSync(`${path}-shm`, { force: true });
  const statePath = `${path}-canopy/state.json`;
  const { clean: _, ...state } = JSON.parse(readFileSync(statePath, 'utf8'));
  writeFileSync(statePath, JSON.stringify(state));
  return { acknowledged, before };
}

async function expectRestored(rows: object[], txid?: number): Promise<void> {
  const dest = join(root.path, 'restored.db');
  await restore({ store, dest, overwrite: true, check: 'full', ...(txid !== undefined && { target: { txid } }) });
  expect(idsIn(dest)).toEqual(rows);
}

test('a WAL that was removed: what was acknowledged comes back from the log', async () => {
  await killedWithRowsInWal();
  rmSync(`${path}-wal`);
  const { primary, events } = await started();
  expect(idsIn(path)).toEqual(ids(5));
  expect(warnings(events)).toContain('FILE_BEHIND_LOG');
  expect(await describeDivergences(path)).toMatchObject([{ rows: 5 }]);
  write(path, "INSERT INTO t VALUES (6, 'on')");
  await primary.sync();
  await expectRestored(ids(6));
});

test('a WAL that was cut: the same, and a file that merely lacks something is not kept aside', async () => {
  await killedWithRowsInWal();
  const wal = readFileSync(`${path}-wal`);
  writeFileSync(`${path}-wal`, wal.subarray(0, wal.length - FRAME));
  const { primary, events } = await started();
  expect(idsIn(path)).toEqual(ids(5));
  expect(warnings(events)).toContain('FILE_BEHIND_LOG');
  expect(await describeDivergences(path)).toEqual([]);
  write(path, "INSERT INTO t VALUES (6, 'on')");
  await primary.sync();
  await expectRestored(ids(6));
});

test('a WAL that is still there: on from its end, and nothing to say', async () => {
  await killedWithRowsInWal();
  const { primary, events } = await started();
  expect(warnings(events)).toEqual([]);
  expect(primary.status().warnings).toEqual([]);
  expect(idsIn(path)).toEqual(ids(5));
});

test('a WAL that its last user has copied and removed: the file has everything, and nothing is said', async () => {
  await killedWithRowsInWal();
  write(path, 'SELECT count(*) FROM t');
  const { primary, events } = await started();
  await primary.sync();
  expect(warnings(events)).toEqual([]);
  await expectRestored(ids(5));
});

test('an older copy written over the file: the log goes on with it, says so, and how to get back what it had', async () => {
  const { acknowledged } = await killedWithRowsInWal();
  write(path, 'SELECT count(*) FROM t');
  copyFileSync(path, `${path}.copy`);
  const second = await started();
  write(path, "INSERT INTO t VALUES (6, 'lost')");
  const last = await second.primary.sync();
  expect(last.txid).toBeGreaterThan(acknowledged.txid);
  await second.primary.stop();
  rmSync(`${path}-wal`, { force: true });
  writeFileSync(path, readFileSync(`${path}.copy`));
  const { primary, events } = await started();
  await eventually(() => warnings(events).includes('LOG_GOES_ON_UNPROVEN'), { what: 'it is told' });
  const [warning] = primary.status().warnings ?? [];
  expect(warning?.code).toBe('LOG_GOES_ON_UNPROVEN');
  expect(warning?.hint).toContain(`canopy db restore --store ${store} --txid ${last.txid} --to`);
  expect(warning?.hint).toMatch(/until \d{4}-\d\d-\d\dT/);
  await primary.sync();
  await expectRestored(ids(5));
  await expectRestored(ids(6), last.txid);
});

test('a program that went on with the file meanwhile keeps what it wrote', async () => {
  const { acknowledged } = await killedWithRowsInWal();
  write(path, "INSERT INTO t VALUES (6, 'meanwhile')");
  const { primary } = await started();
  await primary.sync();
  await expectRestored(ids(6));
  await expectRestored(ids(5), acknowledged.txid);
  expect(await describeDivergences(path)).toEqual([]);
});
