/**
 * An application that writes: small transactions at a rate or as fast as it can for a time, or a bulk of them. The
 * argument is a WriterJob in JSON; its one line of output is a WriterResult.
 */
import { randomFillSync } from 'node:crypto';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { systemClock } from '@canopy/core';
import type { WriterJob, WriterResult } from '../programs.ts';

const ROW_BYTES = 100;
const BULK_ROW_BYTES = 8000;
const BULK_ROWS = 50;

const job = JSON.parse(process.argv[2] as string) as WriterJob;
const database = new DatabaseSync(job.path, { timeout: 10_000 });
database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL');
database.exec('CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, at REAL NOT NULL, data BLOB)');
const insert = database.prepare('INSERT INTO rows (at, data) VALUES (?, ?)');
process.stdout.write('ready\n');
process.stdin.once('data', async () => {
  const result = job.megabytes === undefined ? await small(job.perSecond ?? 0, job.seconds ?? 1) : bulk(job.megabytes);
  database.close();
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
});

async function small(perSecond: number, seconds: number): Promise<WriterResult> {
  const data = randomFillSync(new Uint8Array(ROW_BYTES));
  const commitMs: number[] = [];
  const from = systemClock.monotonic();
  const until = from + seconds * 1000;
  for (let now = from; now < until; now = systemClock.monotonic()) {
    const due = perSecond === 0 ? now : from + (commitMs.length * 1000) / perSecond;
    if (due > now) await systemClock.sleep(due - now);
    commitMs.push(commit(insert, data, 1));
  }
  const ms = systemClock.monotonic() - from;
  commitMs.sort((a, b) => a - b);
  const at = (part: number): number => commitMs[Math.ceil(part * commitMs.length) - 1] as number;
  return { transactions: commitMs.length, ms, bytes: commitMs.length * ROW_BYTES, p50Ms: at(0.5), p99Ms: at(0.99) };
}

/** Bytes that don't compress, so that what is written, shipped and put has one size. */
function bulk(megabytes: number): WriterResult {
  const total = megabytes * 1e6;
  const data = randomFillSync(new Uint8Array(BULK_ROW_BYTES));
  const from = systemClock.monotonic();
  let [bytes, transactions] = [0, 0];
  while (bytes < total) {
    commit(insert, data, BULK_ROWS);
    bytes += BULK_ROWS * BULK_ROW_BYTES;
    transactions += 1;
  }
  return { transactions, ms: systemClock.monotonic() - from, bytes, p50Ms: 0, p99Ms: 0 };
}

/** Milliseconds that it took. The row's time is that of the moment before the commit. */
function commit(statement: StatementSync, data: Uint8Array, rows: number): number {
  const from = systemClock.monotonic();
  database.exec('BEGIN IMMEDIATE');
  for (let i = 0; i < rows; i++) statement.run(systemClock.monotonic(), data);
  database.exec('COMMIT');
  return systemClock.monotonic() - from;
}
