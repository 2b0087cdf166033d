/** What must be true of a replicated database whatever kind of program writes it. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { eventually, temporaryDirectory, testNatsServer } from '@canopy/testkit';
import { expect, onTestFinished } from 'vitest';
import { Primary, Replica } from '../../src/index.ts';
import { integrity, rowsOf, write } from '../database/cluster.ts';
import { ROWS, runWriter, TABLE } from './writers.ts';

const MAX_WAL = 1024 * 1024;
/** Some 18 MB. */
const TRANSACTIONS = 400;
/** At 4 MB nobody may write; what is written between two looks, 100 ms apart, comes on top. */
const WAL_BOUND = 9_000_000;

/**
 * Every state that the standby shows is one that the writer has committed, in order, and at the end it has them all; the WAL
 * keeps within its bound; the writer sees no error at all.
 */
export async function expectReplicated(kind: Parameters<typeof runWriter>[0], modules?: string): Promise<void> {
  const nats = await testNatsServer();
  onTestFinished(() => nats[Symbol.asyncDispose]());
  const root = await temporaryDirectory('writers');
  onTestFinished(() => root.remove());
  const [source, copy] = [join(root.path, 'a.db'), join(root.path, 'b.db')];
  write(source, 'PRAGMA journal_mode=WAL', TABLE);
  const store = `${nats.url}/writers`;
  const primary = new Primary({ db: source, store, node: 'a', maxWal: MAX_WAL, checkpointPages: 100 });
  onTestFinished(() => primary.stop());
  await primary.start();
  const replica = new Replica({ db: copy, store, node: 'b' });
  onTestFinished(() => replica.stop());
  await replica.start();

  const writing = runWriter(kind, source, TRANSACTIONS, modules);
  await watchCopy(copy);
  const { committed, code, errors } = await writing;
  expect({ code, errors }).toEqual({ code: 0, errors: '' });
  expect(committed).toEqual(Array.from({ length: TRANSACTIONS }, (_, i) => i + 1));
  expect(statSync(`${source}-wal`).size, 'a WAL file never shrinks while it is in use').toBeLessThan(WAL_BOUND);
  await replica.waitFor(await primary.sync());
  const all = 'SELECT id, seq, x FROM t ORDER BY id';
  expect(rowsOf(copy, all)).toEqual(rowsOf(source, all));
  expect(integrity(copy)).toBe('ok');
}

/** Until it has everything. */
async function watchCopy(path: string): Promise<void> {
  const wrong: string[] = [];
  const connection = new DatabaseSync(path, { timeout: 20_000 });
  onTestFinished(() => connection.close());
  connection.exec('PRAGMA query_only=1');
  const state = connection.prepare('SELECT count(*) AS rows, coalesce(max(seq), 0) AS seq FROM t');
  let last = 0;
  await eventually(
    () => {
      const { rows, seq } = state.get() as { rows: number; seq: number };
      if (rows !== seq * ROWS || seq < last) wrong.push(`${rows} rows at ${seq} after ${last}`);
      last = seq;
      return seq === TRANSACTIONS;
    },
    { what: 'everything in the copy', timeoutMs: 75_000 },
  );
  expect(wrong).toEqual([]);
}
