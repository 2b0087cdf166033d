/**
 * A single transaction that retention had deleted is there again, alone before the log's first: a server that was killed has
 * forgotten its deletion, or a deletion was cut off. Nobody takes it for the log's end, for a hole, or for history that it
 * is not, and the next look of a primary removes it.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, epoch, systemClock, systemEnv } from '@canopy/core';
import type { Blobs } from '@canopy/nats';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { compact } from '../../src/levels/compactor.ts';
import { LogKeeper } from '../../src/levels/keeper.ts';
import { planCompaction } from '../../src/levels/planning.ts';
import { Proofs } from '../../src/levels/proofs.ts';
import { type LogEntry, segmentName } from '../../src/log/names.ts';
import type { SegmentLog } from '../../src/log/segment-log.ts';
import { summarizeLog } from '../../src/log/summary.ts';
import { encodeLtxSnapshot } from '../../src/ltx/encoder.ts';
import type { RestoreTarget } from '../../src/restore/plan.ts';
import { restore } from '../../src/restore/restore.ts';
import { planBridge } from '../../src/standby/bridge.ts';
import { proveRestore } from '../../src/verify/scratch-restore.ts';
import { header, page } from '../ltx/pages.ts';
import { fill, type MemoryLog, memoryLog, PAGES, segment } from './logs.ts';

const END = 80;
/** The first that retention has left. */
const FIRST = END - 15;
const IMAGES = [20, 60];
const STARTED = 1_700_000_000_000;
/** Levels, and which transaction is there again: before the oldest image, after it, the beginning, next to the rest. */
const CASES = [
  [true, 5],
  [true, 37],
  [true, 1],
  [true, FIRST - 2],
  [false, 5],
  [false, 37],
  [false, 1],
] as const;

/** Pauses are short, so that looks come soon. */
const IMPATIENT: Clock = {
  wall: () => systemClock.wall(),
  monotonic: () => systemClock.monotonic(),
  sleep: (ms, options) => systemClock.sleep(Math.min(ms, 5), options),
  timer: (ms, fire) => systemClock.timer(ms, fire),
};

let scratch: string;
let memory: MemoryLog;
let log: SegmentLog;

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'left-over-'));
});
afterEach(() => rmSync(scratch, { recursive: true, force: true }));

/** The last transaction up to `txid` that wrote the page; see `segment`. */
function versionOf(pgno: number, txid: number): number {
  for (let at = txid; at > 1; at--) if ((at % PAGES) + 1 === pgno) return at;
  return 1;
}

async function image(txid: number): Promise<void> {
  const head = header({ minTxid: 1, maxTxid: txid, commit: PAGES, walOffset: 0, walSalt1: 0, walSalt2: 0 });
  const read = (pgno: number): Uint8Array => page(pgno, versionOf(pgno, txid)).data;
  const data = encodeLtxSnapshot(head, { pageSize: 512, pageCount: PAGES, read });
  await log.putSnapshot({ txid, epoch: epoch(1), node: 'a', timestamp: STARTED + txid * 1000, data });
}

async function merge(): Promise<void> {
  const { clock } = systemEnv();
  const deps = { log, clock, proofs: new Proofs(log), scratch, node: 'a', pageEncoding: 'block' } as const;
  for (;;) {
    const plan = planCompaction(await log.all(), [10_000], STARTED + 10 * END * 1000);
    if (plan === undefined) return;
    await compact(deps, plan, new AbortController().signal);
  }
}

/** A log of which retention has deleted everything up to FIRST, but for one. */
async function leave(levels: boolean, txid: number): Promise<void> {
  memory = await memoryLog();
  log = memory.log;
  await fill(log, 1, END);
  for (const at of IMAGES) await image(at);
  if (levels) await merge();
  else await image(FIRST - 1);
  for (let at = 1; at < FIRST; at++) if (at !== txid) await memory.blobs.delete(segmentName(at));
}

const txids = (entries: readonly LogEntry[]): number[] => entries.map(({ maxTxid }) => maxTxid);
const kept = Array.from({ length: END - FIRST + 1 }, (_, i) => FIRST + i);

async function restored(target?: RestoreTarget): Promise<number> {
  const dest = join(scratch, 'out.db');
  const { position } = await restore({ log, dest, overwrite: true, target });
  const expected = Array.from({ length: PAGES }, (_, i) => page(i + 1, versionOf(i + 1, position.txid)).data);
  expect(readFileSync(dest).equals(Buffer.concat(expected)), `transaction ${position.txid}`).toBe(true);
  return position.txid;
}

function keeperOf(levels: boolean): LogKeeper {
  const hear = { onEvent: () => {}, onChange: () => {} };
  const options = {
    compactionLevelsMs: levels ? [1000] : [],
    keepSegmentsMs: 0,
    retentionMs: 0,
    keepSnapshots: 1,
    snapshotIntervalMs: 1,
    pageEncoding: 'block' as const,
  };
  return new LogKeeper({
    log,
    env: systemEnv({ clock: IMPATIENT }),
    node: 'a',
    scratch: join(scratch, 'keeper'),
    options,
    ...hear,
  });
}

describe.each(CASES)('levels: %s, transaction %i', (levels, txid) => {
  beforeEach(() => leave(levels, txid));

  test('restores give what they gave, and a point that is gone stays gone', async () => {
    expect(await restored()).toBe(END);
    for (const at of [...IMAGES, END]) expect(await restored({ txid: at })).toBe(at);
    if (txid > 1 && txid < FIRST - 2)
      await expect(restored({ txid })).rejects.toMatchObject({ code: 'SQLITE_TARGET_UNREACHABLE' });
    for (const at of [txid, txid + 1, 21, 38, 61, END].filter((one) => one >= 20)) {
      const reached = await restored({ timestamp: STARTED + at * 1000 + 1 });
      expect(reached).toBeLessThanOrEqual(at);
      expect(reached).toBeGreaterThanOrEqual(levels ? at - 10 : Math.max(...IMAGES.filter((i) => i <= at)));
    }
  });

  test('a proof succeeds, and the status has nothing to complain of', async () => {
    // The pages are no database: what is looked at is the way there.
    const proof = proveRestore({ log, path: scratch, scratch: join(scratch, 'verify.db'), env: systemEnv() });
    await expect(proof).rejects.toMatchObject({ cause: { code: 'SQLITE_INTEGRITY_FAILED' } });
    const { end, problems } = summarizeLog('b', await log.all());
    expect([end?.maxTxid, problems]).toEqual([END, []]);
  });

  test('it is not the end of the log, for whoever looks from there', async () => {
    for (const known of [0, txid - 1, txid, END])
      expect((await (await memory.other()).end({ known }))?.position.txid).toBe(END);
    const spans = await log.epochChain();
    expect(spans.map(({ epoch: at, toTxid }) => [at, toTxid])).toEqual([[1, END]]);
  });

  test('a standby before, at or behind it goes over to the rest, or is told to begin anew', async () => {
    for (const own of [txid - 1, txid, FIRST - 1, END - 3].filter((one) => one > 0)) {
      let at = own;
      for (let round = 0; round < 4 && at < END; round++) {
        try {
          for await (const entry of log.follow(at)) {
            at = entry.maxTxid;
            if (at === END) break;
          }
        } catch (error) {
          expect(error).toMatchObject({ code: 'SQLITE_LOG_GAP' });
          const plan = planBridge(await log.all(), { epoch: epoch(1), txid: at });
          if (plan === undefined) break;
          for (const { minTxid, maxTxid } of plan) {
            expect(minTxid).toBeLessThanOrEqual(at + 1);
            at = maxTxid;
          }
        }
      }
      expect(at === END || (!levels && own < FIRST - 1), `from ${own}, got to ${at}`).toBe(true);
    }
  });

  test('a deposed primary whose last entry it is does not go on behind it', async () => {
    if (txid === FIRST - 2) return;
    const rival = await memory.other();
    const append = rival.append(segment(txid + 1));
    await expect(append).rejects.toMatchObject({ code: 'SQLITE_FENCED', fields: { takenTxid: END } });
    expect(txids(await log.entries())).toEqual([txid, ...kept]);
    expect((await log.append(segment(END + 1))).maxTxid).toBe(END + 1);
  });

  test('merging goes on as if it were not there, and the next look removes it', async () => {
    const plan = planCompaction(await log.all(), [10_000], STARTED + 10 * END * 1000);
    if (levels) expect(plan).toBeUndefined();
    const keeper = keeperOf(levels);
    const stop = new AbortController();
    const running = keeper.run(stop.signal);
    try {
      const gone = async (): Promise<void> => {
        while ((await log.entry(txid)) !== undefined) await memory.nats.clock.sleep(10);
      };
      await gone();
      expect(txids(await log.entries())).toEqual(kept);
      expect(await restored()).toBe(END);
      // Brought back beside a keeper that had seen it go.
      await bringBack(memory.blobs, txid);
      await gone();
      expect(txids(await log.entries())).toEqual(kept);
      expect(keeper.problem).toBeUndefined();
    } finally {
      stop.abort();
      await running;
    }
  }, 60_000);
});

async function bringBack(blobs: Blobs, txid: number): Promise<void> {
  const { bytes } = segment(txid);
  const headers = { 'Canopy-Epoch': '1', 'Canopy-Node': 'a', 'Canopy-Kind': 'commit' };
  await blobs.put(segmentName(txid), bytes as Uint8Array, { headers });
}
