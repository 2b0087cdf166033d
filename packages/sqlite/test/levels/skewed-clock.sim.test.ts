/** A keeper whose wall clock is hours off: by the store's clock nothing goes before its time, and all that is due goes. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, systemEnv } from '@canopy/core';
import { seededRandom, VirtualClock } from '@canopy/core/testing';
import { MemoryNats } from '@canopy/nats/memory';
import { expect, test } from 'vitest';
import { LogKeeper } from '../../src/levels/keeper.ts';
import type { LogEntry } from '../../src/log/names.ts';
import { SegmentLog } from '../../src/log/segment-log.ts';
import { BUCKET, segment, snapshotAt } from '../log/logs.ts';

const HOUR = 3_600_000;
const ENTRIES = 60;
/** The newest that always stay. */
const KEPT = 16;
const OPTIONS = {
  compactionLevelsMs: [10_000],
  keepSegmentsMs: 120_000,
  retentionMs: 1_200_000,
  keepSnapshots: 1,
  snapshotIntervalMs: 60_000,
  pageEncoding: 'block' as const,
};

/** The machine's clock, which is off by so much. */
function offBy(clock: VirtualClock, ms: number): Clock {
  return {
    wall: () => clock.wall() + ms,
    monotonic: () => clock.monotonic(),
    sleep: (ms, options) => clock.sleep(ms, options),
    timer: (ms, fire) => clock.timer(ms, fire),
  };
}

test.each([0, -30 * HOUR, 30 * HOUR])('a clock that is off by %i ms', { timeout: 60_000 }, async (skewMs) => {
  const scratch = mkdtempSync(join(tmpdir(), 'keeper-skew-'));
  const stop = new AbortController();
  const clock = new VirtualClock();
  const own = offBy(clock, skewMs);
  const nats = new MemoryNats({ clock, random: seededRandom('nats') });
  const blobs = await nats.session().ensureBlobs(BUCKET);
  const log = new SegmentLog({ blobs, clock: own });
  const env = systemEnv({ clock: own, random: seededRandom('env') });
  const hear = { onEvent: () => {}, onChange: () => {} };
  const keeper = new LogKeeper({ log, env, node: 'a', options: OPTIONS, scratch, ...hear });
  const running = keeper.run(stop.signal);
  const storedAt = new Map<string, number>();
  const ages: { level: number; ms: number }[] = [];
  const watching = (async () => {
    for await (const event of blobs.watch('ltx/', { signal: stop.signal })) {
      if (event.type === 'put') storedAt.set(event.blob.name, event.blob.writtenAt);
      else if (event.type === 'deleted')
        ages.push({
          level: Number(event.name.split('/')[1]),
          ms: clock.wall() - (storedAt.get(event.name) as number),
        });
    }
  })().catch(() => {});
  const work = (async () => {
    for (let txid = 1; txid <= ENTRIES; txid++) {
      await log.append(segment(txid, { timestamp: Math.floor(own.wall()) }));
      if (txid === 20 || txid === 40) await snapshotAt(log, txid);
      await clock.sleep(1000);
    }
    await clock.sleep(2 * OPTIONS.retentionMs);
    const left = await log.all();
    stop.abort();
    await Promise.all([running, watching]);
    return left;
  })();
  let left: readonly LogEntry[] | undefined;
  const ended = work.then((entries) => (left = entries));
  try {
    while (left === undefined) await Promise.race([clock.advance(1000), ended]);
  } finally {
    stop.abort();
    rmSync(scratch, { recursive: true, force: true });
  }
  const of = (level: number): number[] => ages.filter((age) => age.level === level).map(({ ms }) => ms);
  expect(Math.min(...of(0)), 'single transactions').toBeGreaterThanOrEqual(OPTIONS.keepSegmentsMs);
  expect(Math.min(...of(1)), 'merged').toBeGreaterThanOrEqual(OPTIONS.retentionMs);
  expect(Math.min(...of(9)), 'images').toBeGreaterThanOrEqual(OPTIONS.retentionMs);
  expect(left.filter(({ level }) => level === 0).length).toBe(KEPT);
  expect(left.filter(({ level }) => level === 9).map(({ maxTxid }) => maxTxid)).toEqual([40]);
});

test('whoever merges by a clock that is off makes the same objects', { timeout: 60_000 }, async () => {
  const made = await Promise.all([0, -30 * HOUR, 30 * HOUR + 5000].map(mergedBy));
  expect(made[0]?.length).toBeGreaterThan(5);
  expect(made[1]).toEqual(made[0]);
  expect(made[2]).toEqual(made[0]);
});

/** What a keeper with a clock that is off has made of a log whose writer's clock is right. */
async function mergedBy(skewMs: number): Promise<string[]> {
  const scratch = mkdtempSync(join(tmpdir(), 'keeper-skew-'));
  const stop = new AbortController();
  const clock = new VirtualClock();
  const own = offBy(clock, skewMs);
  const nats = new MemoryNats({ clock, random: seededRandom('nats') });
  const blobs = await nats.session().ensureBlobs(BUCKET);
  const log = new SegmentLog({ blobs, clock });
  const env = systemEnv({ clock: own, random: seededRandom('env') });
  const hear = { onEvent: () => {}, onChange: () => {} };
  const running = new LogKeeper({ log, env, node: 'a', options: OPTIONS, scratch, ...hear }).run(stop.signal);
  const work = (async () => {
    for (let txid = 1; txid <= ENTRIES; txid++) {
      await log.append(segment(txid, { timestamp: Math.floor(clock.wall()) }));
      await clock.sleep(1000);
    }
    await clock.sleep(3 * 10_000);
    return (await log.all()).filter(({ level }) => level === 1).map(({ name }) => name);
  })();
  let names: string[] | undefined;
  const ended = work.then((found) => (names = found));
  try {
    while (names === undefined) await Promise.race([clock.advance(1000), ended]);
    return names;
  } finally {
    stop.abort();
    await clock.advance(1);
    await running;
    rmSync(scratch, { recursive: true, force: true });
  }
}
