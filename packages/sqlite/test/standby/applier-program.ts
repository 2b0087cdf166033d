/**
 * A program for the crash test. It moves money in a private source database and applies the page differences to a
 * replica file, over and over, until it is killed, or stands still where it was told to. At its start it checks that the
 * replica is where its state says.
 */
import { readFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { epoch, seededRandom, systemEnv } from '@canopy/core';
import { bootId, readState } from '../../src/process/state-file.ts';
import { MemoryPages } from '../../src/standby/page-changes.ts';
import { ReplicaFile } from '../../src/standby/replica-file.ts';
import { locateReplica } from '../../src/standby/replica-state.ts';
import { type StoppingPoint, stopAt } from './stopping-point.ts';

const [path, statePath, sourcePath, seed, point] = process.argv.slice(2) as [string, string, string, string, string];
let to = 0;
const wanted = JSON.parse(point) as StoppingPoint;
const stop = stopAt(wanted, () => `${replica.position.txid} ${to}`);
const random = seededRandom(seed);
const env = systemEnv();
const source = new DatabaseSync(sourcePath);
source.exec('PRAGMA synchronous=OFF');

const fail = (problem: string): never => {
  process.stdout.write(`PROBLEM ${problem}\n`);
  process.exit(3);
};

const state = readState(statePath);
if (state?.role !== 'standby') fail('no state');
const boot = bootId();
const options = { path, statePath, boot, env, busyTimeoutMs: 200, lockTimeoutMs: 20_000, flush: false };
const replica = new ReplicaFile(options, (header) => {
  const at = locateReplica(state as Extract<typeof state, { role: 'standby' }>, header, boot);
  return at ?? fail(`unknown state: counter ${header.counter}`);
});
const seq = Number(replica.connection.prepare('SELECT seq FROM meta').get()?.seq);
if (seq !== replica.position.txid) fail(`position says ${replica.position.txid}, the data are of ${seq}`);

function change(): number {
  source.exec('BEGIN');
  source.exec('UPDATE meta SET seq = seq + 1');
  // Touches every page of the table, so that a file between two states can be told from either.
  source.exec('UPDATE account SET stamp = (SELECT seq FROM meta)');
  const { seq: at } = source.prepare('SELECT seq FROM meta').get() as { seq: number };
  for (let i = 0; i < 1 + random.int(6); i++) {
    const amount = random.int(50);
    source.prepare('UPDATE account SET balance = balance - ? WHERE id = ?').run(amount, 1 + random.int(400));
    source.prepare('UPDATE account SET balance = balance + ? WHERE id = ?').run(amount, 1 + random.int(400));
  }
  source.prepare('INSERT INTO entry(seq, note) VALUES (?, ?)').run(at, 'x'.repeat(random.int(3000)));
  if (random.int(12) === 0) source.prepare('DELETE FROM entry WHERE seq < ?').run(at - random.int(60));
  source.exec('COMMIT');
  if (random.int(15) === 0) source.exec('VACUUM');
  if (random.int(25) === 0) source.exec(`CREATE TABLE IF NOT EXISTS extra_${random.int(5)}(x)`);
  return at;
}

for (let done = 0; ; done++) {
  if (done >= wanted.apply) fail('nothing was called that it should have stopped at');
  let at = Number((source.prepare('SELECT seq FROM meta').get() as { seq: number }).seq);
  for (let i = 0; i < 1 + random.int(3); i++) at = change();
  // Other descriptors of the source are closed here, which is fine: nobody holds a lock on it.
  const now = readFileSync(sourcePath);
  const pageSize = replica.pageSize;
  const commit = now.byteLength / pageSize;
  const pages = new Map<number, Uint8Array>();
  for (let pgno = 1; pgno <= commit; pgno++) {
    const page = now.subarray((pgno - 1) * pageSize, pgno * pageSize);
    if (pgno > replica.sizeBytes / pageSize || !page.equals(replica.readPage(pgno))) pages.set(pgno, page);
  }
  to = at;
  stop.nextApply();
  await replica.apply({ to: { epoch: epoch(1), txid: at }, pageSize, commit, changes: new MemoryPages(pages) });
}
