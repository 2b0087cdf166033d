/**
 * A program for the tests: moves money between two tables as fast as it may, under one number that both carry; the file
 * grows at random, shrinks by VACUUM and changes its schema. Ends on SIGTERM.
 */
import { DatabaseSync } from 'node:sqlite';
import { seededRandom } from '@canopy/core';

const [path, seed] = process.argv.slice(2) as [string, string];
const random = seededRandom(seed);
const connection = new DatabaseSync(path, { timeout: 10_000 });
connection.exec('PRAGMA synchronous=NORMAL');
let stop = false;
process.on('SIGTERM', () => {
  stop = true;
});

while (!stop) {
  connection.exec('BEGIN IMMEDIATE; UPDATE meta SET seq = seq + 1');
  const amount = random.int(50);
  connection
    .prepare('UPDATE debit SET balance = balance - ?, seq = (SELECT seq FROM meta) WHERE id = ?')
    .run(amount, 1 + random.int(200));
  connection
    .prepare('UPDATE credit SET balance = balance + ?, seq = (SELECT seq FROM meta) WHERE id = ?')
    .run(amount, 1 + random.int(200));
  connection
    .prepare('INSERT INTO entry SELECT seq, ? FROM meta')
    .run('x'.repeat(random.int(random.int(20) === 0 ? 200_000 : 3000)));
  if (random.int(12) === 0) connection.exec('DELETE FROM entry WHERE seq < (SELECT seq FROM meta) - 20');
  connection.exec('COMMIT');
  if (random.int(80) === 0) connection.exec('VACUUM');
  if (random.int(60) === 0) connection.exec(`CREATE TABLE IF NOT EXISTS extra_${random.int(5)}(x)`);
  if (random.int(60) === 0) connection.exec(`DROP TABLE IF EXISTS extra_${random.int(5)}`);
  if (random.int(60) === 0) connection.exec('CREATE INDEX IF NOT EXISTS by_seq ON entry(seq)');
  if (random.int(60) === 0) connection.exec('DROP INDEX IF EXISTS by_seq');
  await new Promise((resolve) => setTimeout(resolve, random.next() * 4));
}
connection.close();
