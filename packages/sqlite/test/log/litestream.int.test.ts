/** The stock Litestream against our bucket and ours against its bucket. Skipped where no `litestream` is on PATH. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { epoch, systemClock, systemEnv } from '@canopy/core';
import { connectNats } from '@canopy/nats';
import { eventually, temporaryDirectory, testNatsServer } from '@canopy/testkit';
import { beforeEach, describe, expect, test } from 'vitest';
import { SegmentLog } from '../../src/log/segment-log.ts';
import { restore } from '../../src/restore/restore.ts';
import { createSnapshot } from '../../src/restore/snapshot.ts';
import { pagesOf, Shipping, timeOf } from '../restore/shipping.ts';
import { WalDatabase } from '../wal/databases.ts';

function version(): string | undefined {
  try {
    return execFileSync('litestream', ['version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return undefined;
  }
}

async function rig(bucket: string) {
  const stack = new AsyncDisposableStack();
  const nats = stack.use(await testNatsServer());
  const directory = stack.use(await temporaryDirectory('litestream'));
  const session = stack.use(await connectNats(nats.connection, { name: 'test', env: systemEnv() }));
  const log = new SegmentLog({ blobs: await session.ensureBlobs(bucket), clock: systemClock });
  const path = join(directory.path, 'source.db');
  const config = join(directory.path, 'litestream.yml');
  const replica = `type: nats\n      url: ${nats.url}/${bucket}\n      sync-interval: 50ms`;
  writeFileSync(config, `dbs:\n  - path: ${path}\n    monitor-interval: 50ms\n    replica:\n      ${replica}\n`);
  let runs = 0;
  const theirs = (...target: string[]): Buffer => {
    const out = join(directory.path, `theirs-${++runs}.db`);
    execFileSync('litestream', ['restore', '-config', config, '-o', out, ...target, path], { stdio: 'pipe' });
    return readFileSync(out);
  };
  const ours = join(directory.path, 'ours.db');
  return { log, path, config, theirs, ours, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

describe('Litestream', () => {
  beforeEach((context) => {
    if (version() === undefined) context.skip('there is no litestream in PATH');
  });

  test('restores our bucket byte for byte: single transactions, snapshot and tail, a point in time', async () => {
    await using given = await rig('test_ours_wal');
    using source = new WalDatabase();
    const { log, theirs, ours } = given;
    const shipping = new Shipping(source, log);
    await shipping.run('CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)');
    for (let i = 0; i < 12; i++) await shipping.run(`INSERT INTO t (body) VALUES (hex(randomblob(${i * 7000})))`);
    for (const sql of ['DELETE FROM t WHERE id % 2 = 0', 'VACUUM', "INSERT INTO t (body) VALUES ('end')"])
      await shipping.run(sql);
    const state = (txid: number): Buffer => shipping.states.get(txid) as Buffer;
    expect(theirs().equals(state(16))).toBe(true);
    const source8 = pagesOf(state(8), 4096);
    await createSnapshot({ log, source: source8, txid: 8, epoch: epoch(1), node: 'a', timestamp: timeOf(8) });
    await log.trim({ keepMs: 0, keepCount: 2 });
    expect(theirs().equals(state(16))).toBe(true);
    expect(theirs('-txid', '000000000000000a').equals(state(10))).toBe(true);
    expect(theirs('-timestamp', new Date(timeOf(12)).toISOString()).equals(state(11))).toBe(true);
    await restore({ log, dest: ours, target: { timestamp: timeOf(12) } });
    expect(readFileSync(ours).equals(state(11))).toBe(true);
  });

  test('writes a bucket that we restore to the same bytes as it does', async () => {
    await using given = await rig('test_theirs_wal');
    const { log, path, config, theirs, ours } = given;
    const db = new DatabaseSync(path);
    db.exec('PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)');
    const child = spawn('litestream', ['replicate', '-config', config], { stdio: 'ignore' });
    try {
      for (let i = 0; i < 5; i++) {
        db.exec(`INSERT INTO t (body) VALUES (hex(randomblob(${i * 20_000 + 1})))`);
        await eventually(async () => ((await log.end())?.position.txid ?? 0) > i);
      }
    } finally {
      await ended(child);
      db.close();
    }
    await restore({ log, dest: ours, check: 'full' });
    expect(theirs().equals(readFileSync(ours))).toBe(true);
    const restored = new DatabaseSync(ours);
    expect(restored.prepare('SELECT count(*) AS n, sum(length(body)) AS s FROM t').get()).toEqual({ n: 5, s: 400_010 });
    restored.close();
  });
});

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  await exit;
}
