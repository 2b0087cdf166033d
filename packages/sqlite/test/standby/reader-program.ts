/** A program for the crash test: an ordinary reader that checks the data's invariants until SIGTERM, then reports. */
import { DatabaseSync } from 'node:sqlite';

const path = process.argv[2] as string;
const connection = new DatabaseSync(path, { timeout: 60_000 });
connection.exec('PRAGMA query_only=1');
let checks = 0;
let stop = false;
const problems: string[] = [];
process.on('SIGTERM', () => {
  stop = true;
});

while (!stop && problems.length < 5) {
  try {
    connection.exec('BEGIN');
    const seq = connection.prepare('SELECT seq FROM meta').get()?.seq;
    const total = connection.prepare('SELECT sum(balance) AS total FROM account').get()?.total;
    const stamps = connection.prepare('SELECT min(stamp) AS low, max(stamp) AS high FROM account').get();
    const last = connection.prepare('SELECT max(seq) AS last FROM entry').get()?.last;
    connection.exec('COMMIT');
    if (stamps?.low !== stamps?.high || stamps?.low !== seq)
      problems.push(`stamps ${JSON.stringify(stamps)} at ${seq}`);
    if (total !== 400_000) problems.push(`balances add up to ${total} at ${seq}`);
    if (last !== null && last !== seq) problems.push(`meta says ${seq}, the newest entry is ${last}`);
    if (checks % 50 === 0) {
      const result = Object.values(connection.prepare('PRAGMA quick_check').get() ?? {})[0];
      if (result !== 'ok') problems.push(`quick_check: ${result}`);
    }
    checks += 1;
  } catch (error) {
    problems.push(String(error));
    if (connection.isTransaction) connection.exec('ROLLBACK');
  }
  // The processor is the appliers' too.
  await new Promise((resolve) => setTimeout(resolve, 5));
}
process.stdout.write(JSON.stringify({ checks, problems }));
