/** Readers of any kind on a standby that applies under full load and is killed again and again: no wrong read, ever. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { seededRandom } from '@canopy/core';
import { eventually } from '@canopy/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { integrity, rowsOf, TestCluster, write } from '../database/cluster.ts';
import { Reader, readerKinds } from './readers.ts';

const LOAD = fileURLToPath(new URL('./load-program.ts', import.meta.url));
/** As often as a database process is started again in a row. */
const ROUNDS = 3;
const TABLES = `
  CREATE TABLE meta(seq INTEGER);
  CREATE TABLE debit(id INTEGER PRIMARY KEY, balance INTEGER, seq INTEGER);
  CREATE TABLE credit(id INTEGER PRIMARY KEY, balance INTEGER, seq INTEGER);
  CREATE TABLE entry(seq INTEGER, note TEXT);
  INSERT INTO meta VALUES (0);
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) INSERT INTO debit SELECT i, 1000, 0 FROM n;
  INSERT INTO credit SELECT * FROM debit`;
/** Everything that must be true of one state, in one statement: `ok` and the state's number, or what is wrong. */
const CHECK = `SELECT CASE WHEN d.total + c.total <> 400000 THEN 'sums ' || d.total || ' and ' || c.total
  WHEN d.seq <> m.seq OR c.seq <> m.seq THEN 'debit at ' || d.seq || ', credit at ' || c.seq || ', meta at ' || m.seq
  WHEN coalesce(e.seq, m.seq) <> m.seq THEN 'entry at ' || e.seq || ', meta at ' || m.seq ELSE 'ok ' || m.seq END
  FROM meta AS m, (SELECT sum(balance) AS total, max(seq) AS seq FROM debit) AS d,
  (SELECT sum(balance) AS total, max(seq) AS seq FROM credit) AS c, (SELECT max(seq) AS seq FROM entry) AS e`.replaceAll(
  /\s+/g,
  ' ',
);

let cluster: TestCluster;
const readers: Reader[] = [];
let load: ChildProcess | undefined;
beforeEach(async () => {
  cluster = await TestCluster.start();
});
afterEach(async () => {
  load?.kill('SIGKILL');
  await Promise.all(readers.splice(0).map((reader) => reader.kill()));
  await cluster?.[Symbol.asyncDispose]();
});

test('sums, numbers and schema agree in every read, while the applier is killed at random', async () => {
  const seed = process.env.CANOPY_SEED ?? `${process.pid}`;
  const random = seededRandom(seed);
  const { kinds, missing } = readerKinds();
  for (const reason of missing) process.stdout.write(`reader skipped: ${reason}\n`);
  const [a, b] = await Promise.all([cluster.started('a'), cluster.started('b')]);
  await a.promote(1);
  write(a.path, TABLES);
  await b.database.waitFor(await a.database.sync());
  readers.push(...kinds.map((kind) => new Reader(kind, b.path, CHECK)));
  load = spawn(process.execPath, [LOAD, a.path, seed], { stdio: ['ignore', 'ignore', 'inherit'] });
  const loaded = new Promise((resolve) => load?.once('exit', resolve));
  const seq = (): number => (rowsOf(b.path, 'SELECT seq FROM meta')[0] as { seq: number }).seq;
  for (let round = 0; round < ROUNDS; round++) {
    const before = seq();
    await eventually(() => seq() > before + 40, { what: `progress in round ${round}`, timeoutMs: 30_000 });
    await new Promise((resolve) => setTimeout(resolve, random.next() * 300));
    b.events.length = 0;
    process.kill(b.pid(), 'SIGKILL');
    await b.event('failed');
    await eventually(() => b.database.status().role === 'standby', { what: 'a standby again', timeoutMs: 20_000 });
    expect(
      b.events.some((event) => event.type === 'bootstrap_progress'),
      `rebuilt, seed ${seed}`,
    ).toBe(false);
  }
  load.kill('SIGTERM');
  await loaded;
  await b.database.waitFor(await a.database.sync());
  for (const report of await Promise.all(readers.map((reader) => reader.end()))) {
    expect(report.problems, `${report.kind}, seed ${seed}`).toEqual([]);
    expect(report.checks, report.kind).toBeGreaterThan(50);
    process.stdout.write(`${report.kind}: ${report.checks} reads, none wrong\n`);
  }
  for (const table of ['meta', 'debit', 'credit', 'entry'])
    expect(rowsOf(b.path, `SELECT * FROM ${table}`)).toEqual(rowsOf(a.path, `SELECT * FROM ${table}`));
  expect(integrity(b.path)).toBe('ok');
}, 120_000);
