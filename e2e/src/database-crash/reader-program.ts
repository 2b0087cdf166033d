/** A reader like any other: opens the file, checks the invariants in transactions, closes, again until SIGTERM. */
import { DatabaseSync } from 'node:sqlite';

const path = process.argv[2] as string;
/** What passes: no file yet, or one that is busy changing its role or place. SQLITE_BUSY, CANTOPEN, READONLY (moved), IOERR. */
const PASSING = [5, 14, 8, 10, 13];
const CHECKS_PER_OPENING = 20;
let stop = false;
process.on('SIGTERM', () => {
  stop = true;
});
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function check(connection: DatabaseSync, whole: boolean): string | undefined {
  connection.exec('BEGIN');
  if (connection.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'meta'").get() === undefined) {
    connection.exec('COMMIT');
    return undefined;
  }
  const seen = connection
    .prepare(`SELECT marks, fillers, seq, (SELECT count(*) FROM mark) AS m, (SELECT count(*) FROM filler) AS f,
      (SELECT sum(balance) FROM account) AS total, (SELECT min(stamp) FROM account) AS low,
      (SELECT max(stamp) FROM account) AS high FROM meta`)
    .get() as Record<string, number>;
  const quick = whole ? Object.values(connection.prepare('PRAGMA quick_check').get() ?? {})[0] : 'ok';
  connection.exec('COMMIT');
  const { marks, fillers, seq, m, f, total, low, high } = seen;
  const fits = marks === m && fillers === f && total === 60_000 && low === high && low === seq && quick === 'ok';
  return fits ? undefined : `${JSON.stringify(seen)} quick_check ${quick}`;
}

let checks = 0;
while (!stop) {
  let connection: DatabaseSync | undefined;
  try {
    connection = new DatabaseSync(path, { timeout: 500 });
    connection.exec('PRAGMA query_only=1');
    for (let i = 0; i < CHECKS_PER_OPENING && !stop; i++) {
      const problem = check(connection, i === 0);
      if (problem !== undefined) process.stdout.write(`TORN ${problem}\n`);
      checks += 1;
      await pause(2);
    }
  } catch (error) {
    const code = (error as { errcode?: number }).errcode ?? 0;
    if (!PASSING.includes(code & 0xff)) process.stdout.write(`TORN ${(error as Error).message} (${code})\n`);
  }
  try {
    connection?.close();
  } catch {}
  await pause(10);
}
process.stdout.write(`CHECKS ${checks}\n`);
