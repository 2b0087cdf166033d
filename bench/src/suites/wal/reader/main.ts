/**
 * An application on a standby that looks for new rows about every millisecond, and at its end (a line on stdin) prints
 * how long after its commit each row was there to be read, in ms, as one JSON array. Argument: the database's path.
 */
import { DatabaseSync } from 'node:sqlite';
import { systemClock } from '@canopy/core';

const LOOK_MS = 1;
/** An apply is under way. SQLite's own way to wait, sleeps that grow to 100 ms, would be measured along. */
const SQLITE_BUSY = 5;

const database = new DatabaseSync(process.argv[2] as string, { timeout: 0, readOnly: true });
const look = database.prepare('SELECT id, at FROM rows WHERE id > ? ORDER BY id');
const version = database.prepare('PRAGMA data_version');
const last = database.prepare('SELECT coalesce(max(id), 0) AS id FROM rows').get() as { id: number };
const lags: number[] = [];
let ended = false;
process.stdin.once('data', () => {
  ended = true;
});
process.stdout.write('ready\n');

let [seen, known] = [last.id, -1];
while (!ended) {
  try {
    lookOnce();
  } catch (error) {
    if ((error as { errcode?: number }).errcode !== SQLITE_BUSY) throw error;
  }
  await systemClock.sleep(LOOK_MS);
}
database.close();
process.stdout.write(`${JSON.stringify(lags)}\n`, () => process.exit(0));

function lookOnce(): void {
  const now = (version.get() as { data_version: number }).data_version;
  if (now === known) return;
  const rows = look.all(seen) as unknown as { id: number; at: number }[];
  const at = systemClock.monotonic();
  known = now;
  for (const row of rows) lags.push(at - row.at);
  seen = rows.at(-1)?.id ?? seen;
}
