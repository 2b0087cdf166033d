import { epoch, hasCode } from '@canopy/core';
import { natsErrors } from '@canopy/nats';
import { describe, expect, test } from 'vitest';
import { sqliteErrors } from '../../src/errors.ts';
import { transferMs } from '../../src/log/appender.ts';
import { segmentName } from '../../src/log/names.ts';
import { BUCKET, fill, memoryLog, segment, snapshotAt } from './logs.ts';

test('history shows what was merged wherever single transactions are gone, also between two that are there', async () => {
  const { log, blobs } = await memoryLog();
  await fill(log, 1, 12);
  for (const [minTxid, maxTxid] of [
    [1, 3],
    [4, 6],
    [7, 8],
    [9, 11],
  ] as const) {
    const facts = { epoch: epoch(1), node: 'a', timestamp: 1, data: new Uint8Array(3) };
    await log.putMerged({ level: 1, minTxid, maxTxid, ...facts });
  }
  // As a listing sees it that a deletion overtakes: 5 is still there, what was behind it is not.
  for (const txid of [1, 2, 3, 4, 6, 9]) await blobs.delete(segmentName(txid));
  const shown = (await log.history()).map(({ level, minTxid, maxTxid }) => [level, minTxid, maxTxid]);
  expect(shown).toEqual([
    [1, 1, 3],
    [0, 5, 5],
    [1, 4, 6],
    [0, 7, 7],
    [0, 8, 8],
    [0, 10, 10],
    [1, 9, 11],
    [0, 11, 11],
    [0, 12, 12],
  ]);
  expect(await log.epochChain()).toEqual([{ epoch: 1, node: 'a', fromTxid: 1, toTxid: 12 }]);
});

describe('append', () => {
  test('stores under Litestream names with its header and ours', async () => {
    const { log, blobs } = await memoryLog();
    const stored = await log.append(segment(1));
    expect(stored).toMatchObject({
      name: 'ltx/0/0000000000000001-0000000000000001.ltx',
      level: 0,
      minTxid: 1,
      maxTxid: 1,
      epoch: 1,
      node: 'a',
      kind: 'snapshot',
      walEnd: { salt1: 7, salt2: 0xffff_fffe, offset: 32 },
    });
    expect((await blobs.info(stored.name))?.headers['Litestream-Timestamp']).toBe('2023-11-14T22:13:21.000Z');
    expect(await log.append(segment(2, { kind: 'claim', epoch: epoch(4), note: 'why' }))).toMatchObject({
      kind: 'claim',
      epoch: 4,
      note: 'why',
    });
  });

  test('the loser of two primaries learns who took the transaction', async () => {
    const { log, other } = await memoryLog();
    await fill(log, 1, 3);
    const rival = await other();
    await rival.append(segment(4, { epoch: epoch(2), node: 'b', kind: 'claim' }));
    await expect(log.append(segment(4))).rejects.toMatchObject({
      code: 'SQLITE_FENCED',
      fields: { txid: 4, epoch: 1, node: 'a', takenEpoch: 2, takenNode: 'b', takenTxid: 4 },
    });
    expect((await rival.read(4))?.entry.node).toBe('b');
  });

  test('an epoch lower than the newest entry is refused though the name is free', async () => {
    const { log, other } = await memoryLog();
    await fill(log, 1, 2);
    await log.append(segment(3, { epoch: epoch(5), node: 'b', kind: 'claim' }));
    await expect((await other()).append(segment(4, { epoch: epoch(4) }))).rejects.toMatchObject({
      code: 'SQLITE_FENCED',
      fields: { takenEpoch: 5, takenTxid: 3 },
    });
    expect(await log.entry(4)).toBeUndefined();
  });

  test('never leaves a hole', async () => {
    const { log } = await memoryLog();
    await expect(log.append(segment(2))).rejects.toMatchObject({ code: 'SQLITE_LOG_GAP', fields: { from: 1, to: 1 } });
    await fill(log, 1, 2);
    await expect(log.append(segment(5))).rejects.toMatchObject({ code: 'SQLITE_LOG_GAP', fields: { from: 3, to: 4 } });
  });

  test('the same bytes again are a success, other bytes of ours are not', async () => {
    const { log, other } = await memoryLog();
    await fill(log, 1, 2);
    const first = await log.append(segment(3));
    const again = await (await other()).append(segment(3));
    expect(again).toEqual(first);
    await expect((await other()).append(segment(3, { version: 99 }))).rejects.toMatchObject({ code: 'SQLITE_FENCED' });
  });

  test('a lost answer is found out by reading back', async () => {
    const { log, nats } = await memoryLog();
    await fill(log, 1, 2);
    nats.fault = (call) => (call.operation === 'put' ? { outcome: 'fail' } : undefined);
    await expect(log.append(segment(3))).rejects.toMatchObject({ code: 'SQLITE_APPEND_UNKNOWN', retryable: true });
    nats.fault = undefined;
    expect((await log.append(segment(3))).maxTxid).toBe(3);
  });

  test('an unknown outcome of a put that did land', async () => {
    const { log, nats, blobs } = await memoryLog();
    await fill(log, 1, 2);
    const put = blobs.put.bind(blobs);
    blobs.put = async (...args) => {
      await put(...args);
      throw new DOMException('the answer never came', 'TimeoutError');
    };
    expect(await log.append(segment(3))).toMatchObject({ maxTxid: 3, node: 'a' });
    nats.fault = (call) => (call.operation === 'info' ? { outcome: 'fail' } : undefined);
    await expect(log.append(segment(4))).rejects.toMatchObject({ code: 'SQLITE_APPEND_UNKNOWN' });
    nats.fault = undefined;
    blobs.put = put;
    expect((await log.append(segment(4))).maxTxid).toBe(4);
  });

  test('stored, but the look behind it fails: unknown, never a plain failure', async () => {
    const { log, nats, other } = await memoryLog();
    await fill(log, 1, 2);
    await snapshotAt(log, 1);
    await snapshotAt(log, 2);
    nats.fault = (call) => (call.operation === 'info' ? { outcome: 'fail' } : undefined);
    await expect(log.append(segment(3))).rejects.toMatchObject({ code: 'SQLITE_APPEND_UNKNOWN' });
    nats.fault = undefined;
    expect((await (await other()).entry(3))?.maxTxid).toBe(3);
    expect((await log.append(segment(3))).maxTxid).toBe(3);
  });

  test('a full disk below a directory is told as that: nothing was stored', async () => {
    const { log, blobs } = await memoryLog();
    await fill(log, 1, 2);
    const put = blobs.put.bind(blobs);
    blobs.put = async (name) => {
      throw sqliteErrors.create('SQLITE_DISK_FULL', { path: `/log/${name}` });
    };
    await expect(log.append(segment(3))).rejects.toMatchObject({ code: 'SQLITE_DISK_FULL' });
    blobs.put = put;
    expect((await log.append(segment(3))).maxTxid).toBe(3);
  });

  test('a full bucket is a refusal, and the log can go on afterwards', async () => {
    const { log, blobs } = await memoryLog();
    await fill(log, 1, 2);
    const put = blobs.put.bind(blobs);
    blobs.put = async () => {
      throw natsErrors.create('BUCKET_FULL', { bucket: BUCKET });
    };
    await expect(log.append(segment(3))).rejects.toMatchObject({ code: 'BUCKET_FULL' });
    blobs.put = put;
    expect((await log.append(segment(3, { version: 77 }))).maxTxid).toBe(3);
  });

  test('a primary that slept through a trim finds its name free, and is fenced all the same', async () => {
    const { log, other } = await memoryLog();
    await fill(log, 1, 3);
    const rival = await other();
    await fill(rival, 4, 9, { epoch: epoch(2), node: 'b' });
    await snapshotAt(rival, 8);
    expect((await rival.trim({ keepMs: 0, keepCount: 2 })).segments).toBe(7);
    expect(await rival.entry(4)).toBeUndefined();
    await expect(log.append(segment(4))).rejects.toMatchObject({
      code: 'SQLITE_FENCED',
      fields: { takenEpoch: 2, takenNode: 'b', takenTxid: 9 },
    });
    expect(await rival.entry(4)).toBeUndefined();
    await expect((await other()).append(segment(1))).rejects.toMatchObject({ code: 'SQLITE_FENCED' });
    expect((await rival.entries()).map((entry) => entry.maxTxid)).toEqual([8, 9]);
  });

  test('a bucket that was made anew takes nothing, whatever its revisions happen to be', async () => {
    for (const others of [0, 1, 2, 3, 4, 9]) {
      const { log, nats, session } = await memoryLog();
      await fill(log, 1, 4);
      nats.dropBlobs(BUCKET);
      const blobs = await session.ensureBlobs(BUCKET);
      for (let i = 0; i < others; i++) await blobs.put(`unrelated-${i}`, Uint8Array.of(1));
      for (let attempt = 0; attempt < 2; attempt++)
        await expect(log.append(segment(5))).rejects.toMatchObject({ code: 'SQLITE_LOG_LOST', fields: { txid: 4 } });
      expect(await blobs.list('ltx/')).toEqual([]);
    }
  });

  test('a bucket restored from a backup takes nothing; one that was copied with what it had goes on', async () => {
    const { log, nats, session, blobs } = await memoryLog();
    await fill(log, 1, 4);
    const saved = await Promise.all((await blobs.list('ltx/')).map(({ name }) => blobs.read(name)));
    const restored = async (to: number): Promise<void> => {
      nats.dropBlobs(BUCKET);
      const made = await session.ensureBlobs(BUCKET);
      for (const found of saved.slice(0, to))
        if (found !== undefined) await made.put(found.info.name, found.bytes, { headers: found.info.headers });
    };
    await restored(3);
    await expect(log.append(segment(5))).rejects.toMatchObject({ code: 'SQLITE_LOG_LOST' });
    expect(await log.entry(5)).toBeUndefined();
    await restored(4);
    expect((await log.append(segment(5))).maxTxid).toBe(5);
  });

  test('whoever began the log anew, under whatever epoch, is no successor but has made another log', async () => {
    for (const end of [4, 5, 7]) {
      const { log, nats, session, other } = await memoryLog();
      await fill(log, 1, 4);
      nats.dropBlobs(BUCKET);
      await session.ensureBlobs(BUCKET);
      await fill(await other(), 1, end, { epoch: epoch(3), node: 'b' });
      await expect(log.append(segment(5))).rejects.toMatchObject({ code: 'SQLITE_LOG_LOST' });
      expect((await log.entries()).map((entry) => entry.node)).toEqual(Array(end).fill('b'));
    }
  });

  test('a put gets the time that its size takes on a slow link', async () => {
    const { log, blobs } = await memoryLog();
    const given: number[] = [];
    const put = blobs.put.bind(blobs);
    blobs.put = (name, data, options) => {
      given.push(options?.timeoutMs ?? 0);
      return put(name, data, options);
    };
    await fill(log, 1, 2);
    const small = (segment(2).bytes as Uint8Array).length;
    expect(given.at(-1)).toBe(transferMs(small));
    expect(transferMs(0)).toBe(10_000);
    // 256 kB a second.
    expect(transferMs(256_000_000)).toBe(1_010_000);
  });

  test('other traffic in the bucket does not fence a primary', async () => {
    const { log, blobs } = await memoryLog();
    await fill(log, 1, 3);
    for (let i = 0; i < 9; i++) await blobs.put(`unrelated-${i}`, Uint8Array.of(1));
    await snapshotAt(log, 3);
    await log.trim({ keepMs: 0, keepCount: 2 });
    expect((await log.append(segment(4))).maxTxid).toBe(4);
  });
});

describe('reading', () => {
  test('a segment comes back verified; absent is undefined', async () => {
    const { log } = await memoryLog();
    await fill(log, 1, 2);
    const found = await log.read(2);
    expect(found?.ltx.header).toMatchObject({ minTxid: 2, maxTxid: 2 });
    expect(Buffer.compare(found?.bytes as Uint8Array, segment(2).bytes as Uint8Array)).toBe(0);
    expect(await log.read(3)).toBeUndefined();
  });

  test('damaged, cut off, or copied under another name: SQLITE_LTX_INVALID', async () => {
    const { log, blobs } = await memoryLog();
    const bytes = segment(2).bytes as Uint8Array;
    const bad = bytes.slice();
    bad[150] = (bad[150] as number) ^ 4;
    for (const [txid, stored] of [
      [5, bad],
      [6, bytes.subarray(0, 200)],
      [7, bytes],
      [8, new Uint8Array(0)],
    ] as const) {
      await blobs.put(segmentName(txid), stored);
      await expect(log.read(txid)).rejects.toMatchObject({ code: 'SQLITE_LTX_INVALID' });
      await expect(log.verify(segmentName(txid))).rejects.toMatchObject({ code: 'SQLITE_LTX_INVALID' });
    }
  });

  test('end: empty, listed, then by names, also when the log was trimmed meanwhile', async () => {
    const { log, other } = await memoryLog();
    const reader = await other();
    expect(await reader.end()).toBeUndefined();
    await fill(log, 1, 3);
    expect((await reader.end())?.position).toEqual({ epoch: 1, txid: 3 });
    await fill(log, 4, 6, { epoch: epoch(2) });
    expect((await reader.end())?.position).toEqual({ epoch: 2, txid: 6 });
    await fill(log, 7, 20, { epoch: epoch(3) });
    await snapshotAt(log, 20);
    await log.trim({ keepMs: 0, keepCount: 3 });
    expect((await reader.end())?.position).toEqual({ epoch: 3, txid: 20 });
  });

  test('what others put into the bucket is left out; what Litestream wrote is read', async () => {
    const { log, blobs } = await memoryLog();
    await blobs.put('ltx/0/notes.txt', Uint8Array.of(1));
    await blobs.put('ltx/0/000000000000000g-0000000000000001.ltx', Uint8Array.of(1));
    await blobs.put(segmentName(1), segment(1).bytes as Uint8Array, {
      headers: { 'Litestream-Timestamp': '2025-01-02T03:04:05.12Z' },
    });
    expect(await log.entries()).toMatchObject([{ maxTxid: 1, epoch: 0, node: undefined, timestamp: 1735787045120 }]);
  });

  test('the epochs in order, and which transactions are theirs', async () => {
    const { log } = await memoryLog();
    await fill(log, 1, 2);
    await fill(log, 3, 5, { epoch: epoch(3), node: 'b' });
    await fill(log, 6, 6, { epoch: epoch(4), node: 'a' });
    expect(await log.epochChain()).toEqual([
      { epoch: 1, node: 'a', fromTxid: 1, toTxid: 2 },
      { epoch: 3, node: 'b', fromTxid: 3, toTxid: 5 },
      { epoch: 4, node: 'a', fromTxid: 6, toTxid: 6 },
    ]);
  });

  test('a missing bucket is an error everywhere, never an empty history', async () => {
    const { log, nats } = await memoryLog();
    await fill(log, 1, 1);
    nats.dropBlobs(BUCKET);
    const calls = [
      () => log.append(segment(2)),
      () => log.read(1),
      () => log.end(),
      () => log.entries(),
      () => log.snapshots(),
      () => log.trim(),
      async () => {
        for await (const _ of log.follow(0)) break;
      },
    ];
    for (const call of calls) await expect(call()).rejects.toMatchObject({ code: 'BLOB_BUCKET_MISSING' });
  });

  test('a snapshot stored twice is the first one', async () => {
    const { log } = await memoryLog();
    await snapshotAt(log, 5);
    await snapshotAt(log, 5);
    const [only, ...rest] = await log.snapshots();
    expect(rest).toEqual([]);
    expect(only).toMatchObject({ level: 9, minTxid: 1, maxTxid: 5, kind: 'snapshot' });
    expect(await log.verify(only?.name as string)).toBe(true);
    expect(await log.verify('ltx/9/0000000000000001-0000000000000006.ltx')).toBe(false);
  });

  test('errors carry facts for a program', async () => {
    const { log } = await memoryLog();
    const error = await log.append(segment(9)).catch((caught: unknown) => caught);
    expect(hasCode(error, 'SQLITE_LOG_GAP') && error.hint).toBeTruthy();
  });
});

test.each([[[1, 2, 3, 5, 6, 7]], [[1, 2, 3, 6, 7]]])(
  'what came back after it was trimmed is not taken for the end, with or without one behind it, however old (gone: %j)',
  async (gone) => {
    const { log, other, blobs } = await memoryLog();
    await fill(log, 1, 20);
    for (const txid of gone) await blobs.delete(segmentName(txid));
    expect((await (await other()).end({ known: 4 }))?.position.txid).toBe(20);
    await fill(log, 21, 22);
    expect((await (await other()).end({ known: 4 }))?.position.txid).toBe(22);
    expect((await (await other()).end({ known: 22 }))?.position.txid).toBe(22);
  },
);
