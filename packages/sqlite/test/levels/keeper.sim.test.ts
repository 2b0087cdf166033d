/**
 * Two keepers at once over a log that grows, while their requests and answers get lost and they are stopped and started
 * anew at any moment. At every look the log can be restored to its end and to every moment since its oldest image, and at
 * the end it gives exactly the pages that were written.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { epoch, type Random, systemEnv } from '@canopy/core';
import { seededRandom, settle, VirtualClock } from '@canopy/core/testing';
import { type MemoryCall, type MemoryFault, MemoryNats } from '@canopy/nats/memory';
import { expect, test } from 'vitest';
import { LogKeeper } from '../../src/levels/keeper.ts';
import { SegmentLog } from '../../src/log/segment-log.ts';
import { encodeLtxSnapshot } from '../../src/ltx/encoder.ts';
import { planRestore } from '../../src/restore/plan.ts';
import { restore } from '../../src/restore/restore.ts';
import { BUCKET, PAGES, segment } from '../log/logs.ts';
import { header, page } from '../ltx/pages.ts';

const SEEDS = 12;
const RUN_MS = 1_800_000;
const OPTIONS = {
  compactionLevelsMs: [10_000, 60_000, 300_000],
  keepSegmentsMs: 20_000,
  retentionMs: 600_000,
  keepSnapshots: 1,
  snapshotIntervalMs: 60_000,
};

function faults(random: Random): (call: MemoryCall) => MemoryFault | undefined {
  return ({ session }) => {
    if (!session.startsWith('keeper')) return undefined;
    const dice = random.next();
    const late = { delayMs: random.next() * 20, answerDelayMs: random.next() * 20 };
    if (dice < 0.01) return { outcome: 'fail' };
    if (dice < 0.015) return { ...late, outcome: 'request-lost' };
    if (dice < 0.02) return { ...late, outcome: 'answer-lost' };
    return late;
  };
}

/** The last transaction up to `txid` that wrote the page; see `segment`. */
function versionOf(pgno: number, txid: number): number {
  for (let at = txid; at > 1; at--) if ((at % PAGES) + 1 === pgno) return at;
  return 1;
}

test.each(Array.from({ length: SEEDS }, (_, i) => `seed-${i}`))('%s', { timeout: 120_000 }, async (seed) => {
  const scratch = mkdtempSync(join(tmpdir(), 'keeper-'));
  const clock = new VirtualClock();
  const random = seededRandom(seed);
  const nats = new MemoryNats({ clock, random: seededRandom(`${seed}-nats`) });
  const blobs = await nats.session({ name: 'writer' }).ensureBlobs(BUCKET);
  const log = new SegmentLog({ blobs, clock });
  nats.fault = faults(seededRandom(`${seed}-faults`));
  const env = systemEnv({ clock, random: seededRandom(`${seed}-env`) });
  const stop = new AbortController();
  let end = 0;
  const times: number[] = [0];
  let failed: unknown;
  let merges = 0;

  const write = async (): Promise<void> => {
    while (clock.monotonic() < RUN_MS && failed === undefined) {
      await log.append(segment(end + 1, { timestamp: Math.floor(clock.wall()) }));
      end++;
      times.push(Math.floor(clock.wall()));
      if (random.next() < 0.02) await image();
      await clock.sleep(random.next() < 0.02 ? 60_000 : random.next() * 4000);
    }
    stop.abort();
  };
  const image = async (): Promise<void> => {
    const head = header({ minTxid: 1, maxTxid: end, commit: PAGES, walOffset: 0, walSalt1: 0, walSalt2: 0 });
    const read = (pgno: number): Uint8Array => page(pgno, versionOf(pgno, end)).data;
    const data = encodeLtxSnapshot(head, { pageSize: 512, pageCount: PAGES, read });
    await log.putSnapshot({ txid: end, epoch: epoch(1), node: 'a', timestamp: times[end] as number, data });
  };
  const keep = async (node: string): Promise<void> => {
    while (!stop.signal.aborted) {
      const session = nats.session({ name: `keeper-${node}` });
      const own = new SegmentLog({ blobs: await session.blobs(BUCKET).catch(() => blobs), clock });
      const killed = new AbortController();
      const keeper = new LogKeeper({
        log: own,
        env,
        node,
        options: OPTIONS,
        scratch: join(scratch, node),
        onEvent: () => {},
        onChange: () => {},
      });
      const running = keeper.run(AbortSignal.any([killed.signal, stop.signal]));
      await clock.sleep(random.next() * 200_000, { signal: stop.signal }).catch(() => {});
      killed.abort();
      await running;
      merges += keeper.stats.merges;
      await session.close();
    }
  };
  const check = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await clock.sleep(3000 * random.next());
      if (end === 0) continue;
      const reached = end;
      const entries = await log.all();
      expect(planRestore('b', entries).at(-1)?.maxTxid).toBeGreaterThanOrEqual(reached);
      const images = entries.filter((entry) => entry.level === 9).map((entry) => entry.maxTxid);
      for (let txid = Math.min(...images); txid <= reached; txid += 1 + random.int(20))
        expect(planRestore('b', entries, { timestamp: (times[txid] as number) + 1 }).length).toBeGreaterThan(0);
    }
  };

  const fail = (error: unknown): void => {
    failed = error;
    stop.abort();
  };
  const work = [write(), keep('a'), keep('b'), check()].map((task) => task.catch(fail));
  try {
    while (!stop.signal.aborted) {
      await clock.advance(500);
      await settle();
    }
    for (let i = 0; i < 400; i++) await clock.advance(500);
    await Promise.all(work);
    if (failed !== undefined) throw failed;
    const entries = await log.all();
    const segments = entries.filter((entry) => entry.level === 0);
    expect(merges).toBeGreaterThan(50);
    expect(segments.length).toBeLessThan(end / 3);
    for (const txid of new Set(entries.map((entry) => entry.maxTxid))) {
      const dest = join(scratch, 'out.db');
      const done = await restore({ log, dest, overwrite: true, target: { txid } }).catch(() => undefined);
      if (done === undefined) continue;
      const expected = Array.from({ length: PAGES }, (_, i) => page(i + 1, versionOf(i + 1, txid)).data);
      expect(readFileSync(dest).equals(Buffer.concat(expected)), `transaction ${txid}`).toBe(true);
    }
  } finally {
    stop.abort();
    rmSync(scratch, { recursive: true, force: true });
  }
});
