/**
 * Stores in files: changes in commits of 1, 100 and 1000, a state of a million entries that arrives as lines of JSON, and one that is read
 * while it could change. Baselines: the same rows through node:sqlite alone, with the settings of the store, one prepared
 * statement and nothing checked.
 */
import { join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { systemClock } from '@canopy/core';
import { SqliteStore, type StateChange, stateStore } from '@canopy/replication';
import { temporaryDirectory } from '@canopy/testkit';
import type { Report } from '../../harness.ts';
import { type Contender, inTurns } from './turns.ts';

const SETTINGS = `PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -32000;
  PRAGMA wal_autocheckpoint = 4000; CREATE TABLE t(key TEXT PRIMARY KEY, value TEXT)`;
const PUT = 'INSERT INTO t VALUES (?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value';
const LINES = 2000;

const keyOf = (i: number): string => `customer-${String((i * 7919) % 1_000_003).padStart(7, '0')}`;
const recordOf = (i: number) => ({
  name: `Customer ${i}`,
  email: `c${i}@example.com`,
  orders: i % 50,
  tags: ['a', 'b'],
});

export async function measureStores(report: Report, changes: number, entries: number): Promise<void> {
  await using directory = await temporaryDirectory('bench-stores');
  let files = 0;
  const path = (): string => join(directory.path, `${files++}.db`);
  for (const size of [1, 100, 1000]) measureCommits(report, path, size, size === 1 ? changes / 10 : changes);
  await measureMillion(report, path, entries);
}

function measureCommits(report: Report, path: () => string, size: number, changes: number): void {
  const count = Math.max(size, Math.floor(changes / size) * size);
  const batches = Array.from({ length: count / size }, (_, batch) =>
    Array.from({ length: size }, (_, i) => ({ space: 's', key: keyOf(batch * size + i), value: recordOf(i) })),
  );
  const store: Contender = () => {
    const atomic = SqliteStore.open({ path: path(), durability: 'process' });
    return () => {
      for (const batch of batches) atomic.commit(batch);
      atomic.close();
      return atomic;
    };
  };
  const state: Contender = () => {
    const atomic = SqliteStore.open({ path: path(), durability: 'process' });
    const durable = stateStore(atomic);
    return () => {
      for (const [sequence, batch] of batches.entries()) durable.apply(batch, { sequence, epoch: 1 });
      atomic.close();
      return atomic;
    };
  };
  const bare: Contender = () => {
    const { database, put } = bareTable(path());
    return () => {
      for (const batch of batches) {
        database.exec('BEGIN IMMEDIATE');
        for (const { key, value } of batch) put.run(key, JSON.stringify(value));
        database.exec('COMMIT');
      }
      database.close();
      return database;
    };
  };
  const ms = inTurns({ store, state, bare });
  const us = (name: keyof typeof ms): number => (ms[name] * 1000) / count;
  report.figure(`store_change_in_${size}`, 'us', us('store'), us('bare'));
  report.figure(`state_change_in_${size}`, 'us', us('state'), us('bare'));
}

/** Once, in seconds of wall time: what a follower does with a snapshot, but for the network. */
async function measureMillion(report: Report, path: () => string, entries: number): Promise<void> {
  const bare = bareTable(path());
  const bareLoad = await seconds(async () => {
    for (const batch of lines(entries)) {
      bare.database.exec('BEGIN IMMEDIATE');
      for (const line of batch) {
        const { key, value } = JSON.parse(line) as { key: string; value: unknown };
        bare.put.run(key, JSON.stringify(value));
      }
      bare.database.exec('COMMIT');
    }
  });
  const bareRead = await seconds(async () => {
    const rows = bare.database.prepare('SELECT key, value FROM t ORDER BY key').iterate();
    for (const row of rows) JSON.parse(row.value as string);
  });
  bare.database.close();

  const atomic = SqliteStore.open({ path: path(), durability: 'process' });
  const durable = stateStore(atomic);
  const arriving = async function* (): AsyncGenerator<readonly StateChange[]> {
    for (const batch of lines(entries)) yield batch.map((line) => JSON.parse(line) as StateChange);
  };
  const load = await seconds(() => durable.replace(arriving(), { sequence: 1, epoch: 1 }));
  let seen = 0;
  const read = await seconds(async () => {
    for (const batch of durable.snapshot().entries) seen += batch.length;
  });
  atomic.close();
  if (seen !== entries) throw new Error(`${seen} entries of ${entries} were read`);
  const metric = entries === 1_000_000 ? '1m' : String(entries);
  report.figure(`state_replace_${metric}`, 's', load, bareLoad, { of: 'value', atMost: 30 });
  report.figure(`state_snapshot_${metric}`, 's', read, bareRead);
}

/** As a snapshot has them: in the order of the keys. */
function* lines(entries: number): Generator<string[]> {
  for (let from = 0; from < entries; from += LINES)
    yield Array.from({ length: Math.min(LINES, entries - from) }, (_, i) =>
      JSON.stringify({ key: `customer-${String(from + i).padStart(7, '0')}`, value: recordOf(from + i) }),
    );
}

async function seconds(run: () => Promise<void>): Promise<number> {
  const from = systemClock.monotonic();
  await run();
  return (systemClock.monotonic() - from) / 1000;
}

function bareTable(path: string): { database: DatabaseSync; put: StatementSync } {
  const database = new DatabaseSync(path);
  database.exec(SETTINGS);
  return { database, put: database.prepare(PUT) };
}
