/**
 * The application of the campaign: transfers over two tables, numbered marks that are never deleted, growth, deletes,
 * VACUUM, DDL and checkpoints of its own. Each committed mark is printed. Ends on SIGTERM.
 */
import { DatabaseSync } from 'node:sqlite';
import { seededRandom } from '@canopy/core';

const [path, seed, writer] = process.argv.slice(2) as [string, string, string];
const random = seededRandom(seed);
const connection = new DatabaseSync(path, { timeout: 10_000 });
connection.exec(`PRAGMA synchronous=${random.int(2) === 0 ? 'NORMAL' : 'FULL'}`);
if (random.int(2) === 0) connection.exec('PRAGMA wal_autocheckpoint=20');
let stop = false;
process.on('SIGTERM', () => {
  stop = true;
});

function commit(n: number): void {
  connection.exec('BEGIN IMMEDIATE');
  const amount = random.int(100);
  const [from, to] = [1 + random.int(60), 1 + random.int(60)];
  connection.prepare('UPDATE account SET balance = balance - ? WHERE id = ?').run(amount, from);
  connection.prepare('UPDATE account SET balance = balance + ? WHERE id = ?').run(amount, to);
  connection.prepare('INSERT INTO mark(writer, n) VALUES (?, ?)').run(writer, n);
  for (let i = 0; i < 1 + random.int(3); i++)
    connection
      .prepare('INSERT INTO filler(pad) VALUES (?)')
      .run('x'.repeat(random.int(random.int(20) === 0 ? 60_000 : 2000)));
  if (random.int(30) === 0) connection.exec('DELETE FROM filler WHERE id % 3 <> 0');
  connection.exec(`UPDATE meta SET marks = (SELECT count(*) FROM mark), fillers = (SELECT count(*) FROM filler), seq = seq + 1;
    UPDATE account SET stamp = (SELECT seq FROM meta)`);
  connection.exec('COMMIT');
}

function disturb(): void {
  connection.exec('PRAGMA busy_timeout=20');
  try {
    if (random.int(30) === 0)
      connection.exec(`PRAGMA wal_checkpoint(${['PASSIVE', 'FULL', 'RESTART', 'TRUNCATE'][random.int(4)]})`);
    if (random.int(150) === 0) connection.exec('VACUUM');
    if (random.int(100) === 0)
      connection.exec(
        `CREATE TABLE IF NOT EXISTS extra_${random.int(4)}(x); CREATE INDEX IF NOT EXISTS i ON filler(pad)`,
      );
    if (random.int(100) === 0) connection.exec(`DROP TABLE IF EXISTS extra_${random.int(4)}; DROP INDEX IF EXISTS i`);
  } catch (error) {
    if ((error as { errcode?: number }).errcode !== 5) throw error;
  }
  connection.exec('PRAGMA busy_timeout=10000');
}

const SCHEMA = `CREATE TABLE meta(marks INTEGER, fillers INTEGER, seq INTEGER); INSERT INTO meta VALUES (0, 0, 0);
  CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER, stamp INTEGER, pad TEXT);
  CREATE TABLE mark(id INTEGER PRIMARY KEY, writer TEXT, n INTEGER);
  CREATE TABLE filler(id INTEGER PRIMARY KEY, pad TEXT);
  WITH RECURSIVE k(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM k WHERE i < 60)
    INSERT INTO account SELECT i, 1000, 0, hex(zeroblob(300)) FROM k;`;
if (connection.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'meta'").get() === undefined)
  connection.exec(`BEGIN; ${SCHEMA} COMMIT`);

try {
  for (let n = 1; !stop; n++) {
    commit(n);
    process.stdout.write(`${n}\n`);
    disturb();
    await new Promise((resolve) => setTimeout(resolve, random.next() * 4));
  }
  connection.close();
} catch (error) {
  // A disk that is full or broken: an application ends. Anything else is for people to see.
  const code = (error as { errcode?: number }).errcode ?? 0;
  if (![10, 13].includes(code & 0xff)) throw error;
}
