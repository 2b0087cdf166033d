import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { epoch, systemClock } from '@canopy/core';
import { describe, expect, test } from 'vitest';
import { type CompactorDeps, compact } from '../../src/levels/compactor.ts';
import type { Compaction } from '../../src/levels/planning.ts';
import { Proofs } from '../../src/levels/proofs.ts';
import { formatName, type LogEntry, segmentName } from '../../src/log/names.ts';
import type { SegmentLog } from '../../src/log/segment-log.ts';
import { restore } from '../../src/restore/restore.ts';
import { fill, memoryLog } from '../log/logs.ts';
import { Shipping } from '../restore/shipping.ts';
import { WalDatabase } from '../wal/databases.ts';

const SCRIPT = [
  'CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)',
  ...Array.from({ length: 6 }, (_, i) => `INSERT INTO t (body) VALUES (hex(randomblob(${(i + 1) * 900})))`),
  // About 2.5 MiB that don't compress: read as a stream, and more than one batch.
  'INSERT INTO t (body) SELECT randomblob(900000) FROM (VALUES (1), (2), (3))',
  'DELETE FROM t WHERE id % 2 = 0',
  'VACUUM',
  ...Array.from({ length: 5 }, () => 'INSERT INTO t (body) VALUES (hex(randomblob(9000)))'),
  'INSERT INTO t (body) SELECT randomblob(900000) FROM (VALUES (1), (2), (3))',
  'DELETE FROM t',
  'VACUUM',
  'CREATE TABLE u (a)',
];

function depsOf(log: SegmentLog, directory: string): CompactorDeps {
  const scratch = join(directory, 'compaction');
  return { log, clock: systemClock, proofs: new Proofs(log), scratch, node: 'a' };
}

async function merge(deps: CompactorDeps, level: number, from: number, to: number): Promise<LogEntry | undefined> {
  const all = (await deps.log.all()).filter((entry) => entry.level === level - 1);
  const inputs = all.filter((entry) => entry.minTxid >= from && entry.maxTxid <= to);
  const plan: Compaction = { level, inputs, minTxid: from, maxTxid: to };
  return compact(deps, plan, new AbortController().signal);
}

describe('compact', () => {
  test('what is restored from merges is what SQLite had, byte for byte', { timeout: 30_000 }, async () => {
    using source = new WalDatabase(4096);
    const { log, blobs } = await memoryLog();
    const shipping = new Shipping(source, log);
    for (const sql of SCRIPT) await shipping.run(sql);
    const deps = depsOf(log, source.directory);
    const cuts = [1, 5, 9, 12, 16, shipping.txid];
    for (let i = 1; i < cuts.length; i++) {
      const from = i === 1 ? 1 : (cuts[i - 1] as number) + 1;
      const made = await merge(deps, 1, from, cuts[i] as number);
      expect(made).toMatchObject({ level: 1, epoch: 1, node: 'a', kind: from === 1 ? 'snapshot' : 'commit' });
      expect(made?.timestamp).toBe((await log.entry(cuts[i] as number))?.timestamp);
    }
    await merge(deps, 2, 1, 12);
    for (const txid of shipping.states.keys()) await blobs.delete(segmentName(txid));
    const dest = join(source.directory, 'out.db');
    for (const txid of cuts.slice(1)) {
      const done = await restore({ log, dest, overwrite: true, target: { txid }, check: 'full' });
      expect(readFileSync(dest).equals(shipping.states.get(txid) as Buffer), `transaction ${txid}`).toBe(true);
      expect(done.files).toBeLessThanOrEqual(3);
    }
    expect(existsSync(join(deps.scratch, 'merge'))).toBe(false);
  });

  test('an output that somebody else has made is used; another under the name is never replaced', async () => {
    using source = new WalDatabase(512);
    const { log, other } = await memoryLog();
    await fill(log, 1, 6);
    const mine = await merge(depsOf(log, source.directory), 1, 1, 6);
    const theirs = await merge(depsOf(await other(), join(source.directory, 'b')), 1, 1, 6);
    expect(theirs?.revision).toBe(mine?.revision);
  });

  test('a damaged or missing input ends it, and nothing appears', async () => {
    using source = new WalDatabase(512);
    const { log, blobs } = await memoryLog();
    await fill(log, 1, 6);
    const deps = depsOf(log, source.directory);
    const inputs = await log.entries();
    const { bytes } = (await blobs.read(segmentName(4))) ?? {};
    await blobs.put(segmentName(4), (bytes as Uint8Array).subarray(0, -9));
    await expect(merge(deps, 1, 1, 6)).rejects.toMatchObject({ code: 'SQLITE_LTX_INVALID' });
    await blobs.delete(segmentName(4));
    const plan = { level: 1, inputs, minTxid: 1, maxTxid: 6 };
    expect(await compact(deps, plan, new AbortController().signal)).toBeUndefined();
    expect((await log.all()).filter((entry) => entry.level === 1)).toEqual([]);
  });

  test('an output of ours that does not decode is taken away again', async () => {
    using source = new WalDatabase(512);
    const { log, blobs } = await memoryLog();
    await fill(log, 1, 6);
    const put = blobs.put.bind(blobs);
    blobs.put = async (name, data, options) => {
      const parts: Uint8Array[] = [];
      for await (const part of data as AsyncIterable<Uint8Array>) parts.push(part);
      return put(name, Buffer.concat(parts).subarray(0, -1), options);
    };
    await expect(merge(depsOf(log, source.directory), 1, 1, 6)).rejects.toMatchObject({ code: 'SQLITE_LTX_INVALID' });
    expect(await log.find(formatName({ level: 1, minTxid: 1, maxTxid: 6 }))).toBeUndefined();
    expect((await log.entries()).length).toBe(6);
  });

  test('two epochs in one merge: it carries the newer', async () => {
    using source = new WalDatabase(512);
    const { log } = await memoryLog();
    await fill(log, 1, 3);
    await fill(log, 4, 5, { epoch: epoch(7), node: 'b' });
    expect(await merge(depsOf(log, source.directory), 1, 1, 5)).toMatchObject({ epoch: 7, node: 'b' });
  });
});
