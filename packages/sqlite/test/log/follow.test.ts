import { settle, VirtualClock } from '@canopy/core/testing';
import { describe, expect, test } from 'vitest';
import type { LogEntry } from '../../src/log/names.ts';
import { BUCKET, fill, memoryLog, segment, snapshotAt } from './logs.ts';

/** Reads `count` entries, then stops. */
async function take(entries: AsyncIterable<LogEntry>, count: number): Promise<number[]> {
  const seen: number[] = [];
  for await (const entry of entries) {
    seen.push(entry.maxTxid);
    if (seen.length === count) break;
  }
  return seen;
}

describe('follow', () => {
  test('what is there, then what comes, in order', async () => {
    const { log, other } = await memoryLog();
    await fill(log, 1, 5);
    const follower = await other();
    const seen = take(follower.follow(2), 6);
    await settle();
    await fill(log, 6, 8);
    expect(await seen).toEqual([3, 4, 5, 6, 7, 8]);
  });

  test('carries what a standby needs to know without another call', async () => {
    const { log } = await memoryLog();
    await fill(log, 1, 1);
    for await (const entry of log.follow(0)) {
      expect(entry).toMatchObject({
        epoch: 1,
        node: 'a',
        kind: 'snapshot',
        size: (segment(1).bytes as Uint8Array).length,
      });
      break;
    }
  });

  test('neither order nor repetition nor loss in the watch matters', async () => {
    const { log, blobs } = await memoryLog();
    await fill(log, 1, 9);
    const infos = await blobs.list('ltx/0/');
    const at = (txid: number) => ({ type: 'put' as const, blob: infos[txid - 1] as (typeof infos)[number] });
    blobs.watch = async function* () {
      yield at(4);
      yield at(2);
      yield at(2);
      yield { type: 'synced' };
      yield at(1);
      yield { type: 'interrupted', reason: 'test' };
      yield at(9);
      yield { type: 'synced' };
    };
    expect(await take(log.follow(1), 8)).toEqual([2, 3, 4, 5, 6, 7, 8, 9]);
  });

  test('a silent watch is made up for by asking for the next name', async () => {
    const clock = new VirtualClock();
    const { log, blobs } = await memoryLog({ clock });
    await fill(log, 1, 2);
    blobs.watch = async function* (_prefix, options) {
      yield { type: 'synced' };
      await new Promise<void>((resolve) => options?.signal?.addEventListener('abort', () => resolve()));
    };
    const seen = take(log.follow(1), 3);
    await clock.advance(2500);
    await fill(log, 3, 4);
    await clock.advance(2500);
    await clock.advance(2500);
    expect(await seen).toEqual([2, 3, 4]);
  });

  test('while nothing comes, probes grow rarer up to a bound', async () => {
    const clock = new VirtualClock();
    const { log, blobs } = await memoryLog({ clock });
    await fill(log, 1, 1);
    blobs.watch = async function* (_prefix, options) {
      yield { type: 'synced' };
      await new Promise<void>((resolve) => options?.signal?.addEventListener('abort', () => resolve()));
    };
    const asked: number[] = [];
    const get = blobs.info.bind(blobs);
    blobs.info = (name, options) => {
      if (asked.at(-1) !== clock.monotonic()) asked.push(clock.monotonic());
      return get(name, options);
    };
    const stop = new AbortController();
    const seen = take(log.follow(1, { probeMs: 1000, probeMaxMs: 4000, signal: stop.signal }), 9);
    const from = clock.monotonic();
    await clock.advance(16_000);
    expect(asked.map((at) => at - from)).toEqual([1000, 3000, 7000, 11_000, 15_000]);
    stop.abort();
    expect(await seen).toEqual([]);
  });

  test('a watch that breaks off is begun again', async () => {
    const { log, blobs } = await memoryLog();
    await fill(log, 1, 3);
    const watch = blobs.watch.bind(blobs);
    let broken = 0;
    blobs.watch = (prefix, options) => {
      if (broken++ > 0) return watch(prefix, options);
      return (async function* () {
        yield { type: 'interrupted' as const, reason: 'test' };
        throw new Error('connection lost');
      })();
    };
    expect(await take(log.follow(0), 3)).toEqual([1, 2, 3]);
    expect(broken).toBe(2);
  });

  test('trimmed away from under a follower: SQLITE_LOG_GAP that says from where on there is something', async () => {
    const { log } = await memoryLog();
    await fill(log, 1, 9);
    await snapshotAt(log, 7);
    await log.trim({ keepMs: 0, keepCount: 2 });
    await expect(take(log.follow(3), 1)).rejects.toMatchObject({ code: 'SQLITE_LOG_GAP', fields: { from: 4, to: 7 } });
    expect(await take(log.follow(7), 2)).toEqual([8, 9]);
  });

  test('a log that ends before what its follower has: SQLITE_LOG_LOST, and never for an empty follower', async () => {
    const { log, nats, session } = await memoryLog();
    await fill(log, 1, 3);
    nats.dropBlobs(BUCKET);
    await session.ensureBlobs(BUCKET);
    await expect(take(log.follow(3, { probeMs: 10 }), 1)).rejects.toMatchObject({ code: 'SQLITE_LOG_LOST' });
    const seen = take(log.follow(0, { probeMs: 10 }), 2);
    await new Promise((resolve) => nats.clock.timer(60, () => resolve(undefined)));
    await fill(log, 1, 2);
    expect(await seen).toEqual([1, 2]);
  });

  test('ends without an error when the signal aborts, waiting or not', async () => {
    const { log } = await memoryLog();
    await fill(log, 1, 2);
    const stop = new AbortController();
    const seen = take(log.follow(0, { signal: stop.signal }), 99);
    await settle();
    stop.abort();
    expect(await seen).toEqual([1, 2]);
    expect(await take(log.follow(0, { signal: stop.signal }), 99)).toEqual([]);
  });
});
