/**
 * A program for the tests: an application that inserts rows into `t` as fast as it is told to, and runs checkpoints of its
 * own as careless applications do. Each committed id is printed. Ends on SIGTERM.
 */
import { DatabaseSync } from 'node:sqlite';
import { seededRandom } from '@canopy/core';

const [path, seed, pauseMs, checkpoints, name] = process.argv.slice(2) as [string, string, string, string, string];
const random = seededRandom(seed);
const connection = new DatabaseSync(path, { timeout: 10_000 });
connection.exec('PRAGMA synchronous=NORMAL');
if (checkpoints === 'yes') connection.exec('PRAGMA wal_autocheckpoint=20');
let stop = false;
process.on('SIGTERM', () => {
  stop = true;
});

const insert = connection.prepare('INSERT INTO t(writer, x) VALUES (?, ?)');
while (!stop) {
  connection.exec('BEGIN IMMEDIATE');
  let last: number | bigint = 0;
  for (let i = 0; i < 1 + random.int(3); i++) last = insert.run(name, 'x'.repeat(random.int(2000))).lastInsertRowid;
  if (random.int(40) === 0) connection.exec(`DELETE FROM t WHERE id % 7 = 0 AND id < ${Number(last) - 50}`);
  connection.exec('COMMIT');
  process.stdout.write(`${last}\n`);
  if (checkpoints === 'yes' && random.int(25) === 0) {
    const mode = ['PASSIVE', 'FULL', 'RESTART', 'TRUNCATE'][random.int(4)];
    connection.exec(`PRAGMA busy_timeout=20; PRAGMA wal_checkpoint(${mode}); PRAGMA busy_timeout=10000`);
  }
  if (checkpoints === 'yes' && random.int(300) === 0) connection.exec('VACUUM');
  if (Number(pauseMs) > 0) await new Promise((resolve) => setTimeout(resolve, random.next() * 2 * Number(pauseMs)));
  else await new Promise((resolve) => setImmediate(resolve));
}
connection.close();
