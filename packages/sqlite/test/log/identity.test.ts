/** Which log a log is: the id is made once, goes from entry to entry, and no entry of another is taken for the next one. */
import { epoch, seededRandom, systemClock } from '@canopy/core';
import type { Blobs } from '@canopy/nats';
import { describe, expect, test, vi } from 'vitest';
import { compact } from '../../src/levels/compactor.ts';
import { planCompaction } from '../../src/levels/planning.ts';
import { Proofs } from '../../src/levels/proofs.ts';
import { newLogId, parseLogId } from '../../src/log/identity.ts';
import { type LogEntry, segmentName } from '../../src/log/names.ts';
import type { SegmentLog } from '../../src/log/segment-log.ts';
import { summarizeLog } from '../../src/log/summary.ts';
import { planRestore } from '../../src/restore/plan.ts';
import { BUCKET, fill, memoryLog, segment, snapshotAt } from './logs.ts';

const idsOf = async (log: SegmentLog): Promise<(string | undefined)[]> => (await log.all()).map(({ logId }) => logId);

/** As a program that knows of no ids leaves it: Litestream, which has no header of ours, or an earlier version. */
async function withoutId(blobs: Blobs, name: string, keeps: (header: string) => boolean): Promise<void> {
  const found = await blobs.read(name);
  if (found === undefined) throw new Error(`${name} is not there`);
  const headers = Object.fromEntries(Object.entries(found.info.headers).filter(([key]) => keeps(key)));
  await blobs.put(name, found.bytes, { headers });
}
const asEarlier = (header: string): boolean => header !== 'Canopy-Log';
const asLitestream = (header: string): boolean => !header.startsWith('Canopy-');

/** The next merge, whatever the time. */
async function merged(log: SegmentLog): Promise<LogEntry | undefined> {
  const plan = planCompaction(await log.all(), [1000 * 1000], Number.MAX_SAFE_INTEGER);
  if (plan === undefined) return undefined;
  const deps = { log, clock: systemClock, proofs: new Proofs(log), scratch: '/nonexistent', node: 'a' };
  return compact({ ...deps, pageEncoding: 'block' }, plan, new AbortController().signal);
}

test('an id is what the header can hold, and anything else is none', () => {
  const random = seededRandom(1);
  const ids = Array.from({ length: 100 }, () => newLogId(random));
  expect(new Set(ids).size).toBe(100);
  for (const id of ids) expect(parseLogId(id)).toBe(id);
  for (const text of [undefined, '', 'x', 7, `${ids[0]}0`, 'ABCDEF0123456789'])
    expect(parseLogId(text)).toBeUndefined();
});

describe('the id of a log', () => {
  test('comes from its first entry and goes on with every primary, into merges and images, and survives trimming', async () => {
    const { log, other } = await memoryLog();
    await fill(log, 1, 4);
    const id = log.id as string;
    expect(parseLogId(id)).toBe(id);
    const next = await other();
    await fill(next, 5, 30, { epoch: epoch(2), node: 'b' });
    expect(next.id).toBe(id);
    expect(await merged(next)).toMatchObject({ level: 1, maxTxid: 4, logId: id });
    await snapshotAt(next, 20);
    await next.trim({ keepMs: 0, keepCount: 2 });
    const kept = await next.all();
    expect(kept.length).toBeLessThan(30);
    expect(new Set(kept.map(({ logId }) => logId))).toEqual(new Set([id]));
    expect(await (await other()).findId()).toBe(id);
  });

  test('is another one in another log', async () => {
    const [a, b] = [await memoryLog(), await memoryLog()];
    await fill(a.log, 1, 1);
    await fill(b.log, 1, 1);
    expect(a.log.id).not.toBe(b.log.id);
  });

  test('is one where the first entry is tried again', async () => {
    const { log } = await memoryLog();
    await log.append(segment(1));
    const { id } = log;
    expect((await log.append(segment(1))).logId).toBe(id);
  });

  test('is carried on over entries that have none, from what is known', async () => {
    const { log, blobs, other } = await memoryLog();
    await fill(log, 1, 3);
    await withoutId(blobs, segmentName(3), asLitestream);
    const next = await other();
    next.hold(await next.findId());
    await fill(next, 4, 5, { epoch: epoch(2), node: 'b' });
    expect(await idsOf(log)).toEqual([log.id, log.id, undefined, log.id, log.id]);
    expect(planRestore(BUCKET, await log.all()).length).toBe(5);
    expect(summarizeLog(BUCKET, await log.all()).problems).toEqual([]);
    const seen: number[] = [];
    for await (const entry of log.follow(1)) if (seen.push(entry.maxTxid) === 4) break;
    expect(seen).toEqual([2, 3, 4, 5]);
    expect(await merged(next)).toMatchObject({ maxTxid: 2, logId: log.id });
  });

  test('comes with the next entry where the log is of an earlier version', async () => {
    const { log, blobs, other } = await memoryLog();
    await fill(log, 1, 3);
    for (const txid of [1, 2, 3]) await withoutId(blobs, segmentName(txid), asEarlier);
    const next = await other();
    expect(await next.findId()).toBeUndefined();
    const made = await next.append(segment(4));
    expect(made.logId).toBe(next.id);
    expect(next.id).toBeDefined();
    expect((await next.append(segment(5))).logId).toBe(next.id);
    const reader = await other();
    for await (const { maxTxid } of reader.follow(2)) if (maxTxid === 5) break;
    expect(reader.id).toBe(next.id);
  });
});

describe('another log in the place of the own one', () => {
  test('takes no entry, also where every position and epoch is the same', async () => {
    const [a, b] = [await memoryLog(), await memoryLog()];
    await fill(a.log, 1, 4);
    await fill(b.log, 1, 4);
    const strayed = await a.other();
    strayed.hold(b.log.id);
    await strayed.end();
    for (const txid of [3, 4, 5])
      await expect(strayed.append(segment(txid, { epoch: epoch(2), node: 'b' }))).rejects.toMatchObject({
        code: 'SQLITE_LOG_LOST',
      });
    expect((await a.log.entries()).length).toBe(4);
    await a.log.append(segment(5));
  });

  test('gives a follower nothing, whether it has gone further or not', async () => {
    for (const end of [3, 4, 5, 9]) {
      const { log, nats, session, other } = await memoryLog();
      await fill(log, 1, 4);
      nats.dropBlobs(BUCKET);
      await session.ensureBlobs(BUCKET);
      await fill(await other(), 1, end);
      const reading = (async () => {
        for await (const entry of log.follow(4, { probeMs: 10 })) return entry.maxTxid;
        return 0;
      })();
      await expect(reading, `ends at ${end}`).rejects.toMatchObject({ code: 'SQLITE_LOG_LOST' });
    }
  });
});

test('a follower finds that out by its watch alone, and by asking alone', async () => {
  for (const way of ['watch', 'asking']) {
    const { log, nats, session, blobs, other } = await memoryLog();
    await fill(log, 1, 4);
    nats.dropBlobs(BUCKET);
    await session.ensureBlobs(BUCKET);
    await fill(await other(), 1, 4);
    if (way === 'asking')
      blobs.watch = async function* (_prefix, options) {
        yield { type: 'synced' };
        await new Promise<void>((resolve) => options?.signal?.addEventListener('abort', () => resolve()));
      };
    const entries = log.follow(4, { probeMs: way === 'watch' ? 3_600_000 : 10 })[Symbol.asyncIterator]();
    await expect(entries.next(), way).rejects.toMatchObject({ code: 'SQLITE_LOG_LOST' });
  }
});

describe('an entry that a primary of another log has put, and takes away again', () => {
  test('does not end this log, for its primary or its followers', async () => {
    const { log, blobs, other } = await memoryLog();
    await fill(log, 1, 4);
    const follower = await other();
    follower.hold(log.id);
    const seen: (string | undefined)[] = [];
    const stop = new AbortController();
    const reading = (async () => {
      for await (const { node } of follower.follow(4, { signal: stop.signal, probeMs: 10 })) seen.push(node);
    })();
    const name = segmentName(5);
    const fourth = await blobs.read(segmentName(4));
    const headers = { ...fourth?.info.headers, 'Canopy-Log': '00000000000000ff', 'Canopy-Node': 'stray' };
    await blobs.put(name, segment(5).bytes as Uint8Array, { headers });
    await expect(log.append(segment(5))).rejects.toMatchObject({ code: 'SQLITE_LOG_MIXED', fields: { txid: 5 } });
    await systemClock.sleep(50);
    await blobs.delete(name);
    await fill(log, 5, 6);
    await vi.waitUntil(() => seen.length === 2, { timeout: 10_000 });
    expect(seen).toEqual(['a', 'a']);
    stop.abort();
    await reading;
  });
});

describe('a log that is mixed all the same', () => {
  async function mixed(): Promise<{ log: SegmentLog; stranger: SegmentLog }> {
    const { log, blobs, other } = await memoryLog();
    await fill(log, 1, 3);
    await fill(log, 4, 6, { epoch: epoch(2), node: 'b' });
    for (const txid of [4, 5, 6]) {
      const found = await blobs.read(segmentName(txid));
      const headers = { ...found?.info.headers, 'Canopy-Log': '00000000000000ff' };
      await blobs.put(segmentName(txid), found?.bytes ?? new Uint8Array(), { headers });
    }
    const stranger = await other();
    stranger.hold('00000000000000ff');
    return { log, stranger };
  }

  test('is not restored past the seam, is told, and no merge spans it', async () => {
    const { log, stranger } = await mixed();
    const entries = await log.all();
    expect(new Set(entries.map(({ logId }) => logId)).size).toBe(2);
    expect(() => planRestore(BUCKET, entries)).toThrow(
      expect.objectContaining({ code: 'SQLITE_LOG_MIXED', fields: expect.objectContaining({ txid: 4 }) }),
    );
    expect(planRestore(BUCKET, entries, { txid: 3 }).length).toBe(3);
    const [first] = summarizeLog(BUCKET, entries).problems;
    expect(first?.problem).toContain('two logs are mixed: transaction 0000000000000004 (node b)');
    expect(await merged(stranger)).toMatchObject({ maxTxid: 3, logId: log.id });
    const sameNode = entries.map((entry) => ({ ...entry, epoch: epoch(1), node: 'a' }));
    expect(planCompaction(sameNode, [1000 * 1000], Number.MAX_SAFE_INTEGER)).toMatchObject({ maxTxid: 3 });
    await snapshotAt(log, 6);
    expect(planRestore(BUCKET, await log.all()).length).toBe(1);
  });
});
