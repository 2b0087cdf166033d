/**
 * Primaries that fight over one log while requests and answers get lost, and one of them trims. Whatever happens: an
 * append that was acknowledged is in the log as it was sent or lies below a snapshot, no transaction is acknowledged to two
 * primaries with different contents, the log has no hole, and a follower sees every transaction once and in order.
 */
import { epoch, hasCode, type Random, systemEnv } from '@canopy/core';
import { seededRandom, settle, VirtualClock } from '@canopy/core/testing';
import { type MemoryFault, MemoryNats } from '@canopy/nats/memory';
import { describe, expect, test } from 'vitest';
import { SegmentLog } from '../../src/log/segment-log.ts';
import { BUCKET, segment, snapshotAt } from './logs.ts';

const SEEDS = 40;
const RUN_MS = 900_000;

interface Acknowledged {
  readonly txid: number;
  readonly node: string;
  readonly digest: string;
}

function faults(random: Random): () => MemoryFault | undefined {
  return () => {
    const dice = random.next();
    const late = { delayMs: random.next() * 40, answerDelayMs: random.next() * 40 };
    if (dice < 0.03) return { outcome: 'fail' };
    if (dice < 0.05) return { ...late, outcome: 'request-lost' };
    if (dice < 0.08) return { ...late, outcome: 'answer-lost' };
    return late;
  };
}

/** Appends under growing epochs; whoever is fenced catches up and claims anew after a while, as an elected node would. */
async function primary(
  name: string,
  log: SegmentLog,
  clock: VirtualClock,
  random: Random,
  epochs: { next: number },
  acknowledged: Acknowledged[],
): Promise<void> {
  const end = clock.monotonic() + RUN_MS;
  let held = 0;
  let txid = 0;
  let version = 0;
  let unsent: ReturnType<typeof segment> | undefined;
  while (clock.monotonic() < end) {
    try {
      if (held === 0) {
        // A freeze now and then: long enough for others to go on and trim.
        await clock.sleep(random.next() < 0.2 ? 40_000 : random.next() * 3000);
        txid = (await log.end())?.position.txid ?? 0;
        held = epochs.next++;
      }
      const kind = unsent === undefined ? 'claim' : 'commit';
      unsent ??= segment(txid + 1, { epoch: epoch(held), node: name, version: version++ * 10 + name.length, kind });
      const entry = await log.append(unsent);
      acknowledged.push({ txid: entry.maxTxid, node: name, digest: entry.digest as string });
      txid++;
      unsent = undefined;
      if (random.next() < 0.05) await snapshotAt(log, txid);
      if (random.next() < 0.05) await log.trim({ keepMs: 5000, keepCount: 2 });
      if (random.next() < 0.03) await clock.sleep(30_000);
      await clock.sleep(random.next() * 200);
    } catch (error) {
      if (hasCode(error, 'SQLITE_FENCED', 'SQLITE_LOG_GAP')) {
        held = 0;
        unsent = undefined;
      } else if (!hasCode(error, 'SQLITE_APPEND_UNKNOWN', 'JETSTREAM_UNAVAILABLE', 'DEADLINE_EXCEEDED')) throw error;
      await clock.sleep(100);
    }
  }
}

describe('SegmentLog under faults', () => {
  test.each(Array.from({ length: SEEDS }, (_, i) => `seed-${i}`))('%s', async (seed) => {
    const clock = new VirtualClock();
    const random = seededRandom(seed);
    const nats = new MemoryNats({ clock, random: seededRandom(`${seed}-nats`) });
    const open = async (): Promise<SegmentLog> => {
      const session = nats.session({ env: systemEnv({ clock, random }) });
      return new SegmentLog({ blobs: await session.ensureBlobs(BUCKET), clock });
    };
    const quiet = await open();
    await quiet.append(segment(1));
    const acknowledged: Acknowledged[] = [];
    const seen: { txid: number; digest: string | undefined }[] = [];
    const stop = new AbortController();
    const logs = [await open(), await open(), await open()];
    const follower = await open();
    nats.fault = faults(random);
    const epochs = { next: 2 };
    const following = (async () => {
      for (let from = 0; !stop.signal.aborted; ) {
        try {
          for await (const entry of follower.follow(from, { signal: stop.signal })) {
            seen.push({ txid: entry.maxTxid, digest: entry.digest });
            from = entry.maxTxid;
          }
        } catch (error) {
          if (!hasCode(error, 'SQLITE_LOG_GAP')) throw error;
          from = Number(error.fields.to);
        }
      }
    })();
    let over = false;
    const running = Promise.all(
      logs.map((log, i) => primary('abc'.slice(0, i + 1), log, clock, random, epochs, acknowledged)),
    ).finally(() => {
      over = true;
    });
    running.catch(() => {});
    while (!over) await clock.advance(5000);
    await running;
    nats.fault = undefined;
    await clock.advance(30_000);
    stop.abort();
    await settle();
    await clock.advance(1000);
    await following;

    const entries = await quiet.entries();
    const end = entries.at(-1)?.maxTxid as number;
    // Freezes make some runs short (84 to 465 were seen): far fewer would prove nothing.
    expect(acknowledged.length).toBeGreaterThan(50);
    expect(entries.map((entry) => entry.maxTxid)).toEqual(entries.map((_, i) => end - entries.length + 1 + i));
    for (let i = 1; i < entries.length; i++)
      expect(entries[i]?.epoch).toBeGreaterThanOrEqual(entries[i - 1]?.epoch as number);
    const owners = new Map<number, string>();
    for (const { txid, digest } of acknowledged) {
      expect(owners.get(txid) ?? digest).toBe(digest);
      owners.set(txid, digest);
    }
    for (const entry of entries) if (owners.has(entry.maxTxid)) expect(entry.digest).toBe(owners.get(entry.maxTxid));
    for (let i = 1; i < seen.length; i++) expect(seen[i]?.txid).toBeGreaterThan(seen[i - 1]?.txid as number);
    for (const { txid, digest } of seen) if (owners.has(txid)) expect(digest).toBe(owners.get(txid));
    expect(seen.at(-1)?.txid).toBe(end);
  });
});
