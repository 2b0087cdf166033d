/** What a follower makes of a view of the log that lags behind it: entries that are told of, and gone already. */
import { epoch, type Position, systemEnv } from '@canopy/core';
import { eventually } from '@canopy/testkit';
import { expect, test } from 'vitest';
import { segmentName } from '../../src/log/names.ts';
import type { SegmentLog } from '../../src/log/segment-log.ts';
import { encodeLtx } from '../../src/ltx/encoder.ts';
import { mergeLtx } from '../../src/ltx/merge.ts';
import { Follower } from '../../src/standby/follower.ts';
import type { PageBatch } from '../../src/standby/page-changes.ts';
import type { ReplicaFile } from '../../src/standby/replica-file.ts';
import { fill, memoryLog } from '../log/logs.ts';

test('entries that are told of for a while after they were merged and trimmed are waited out, not taken for a hole', async () => {
  const { log, blobs } = await memoryLog();
  await fill(log, 1, 20);
  const trimmed = await log.entries(2);
  const parts = await Promise.all(Array.from({ length: 18 }, (_, i) => log.read(i + 2)));
  const merged = mergeLtx(parts.map((part) => (part as NonNullable<typeof part>).ltx));
  const data = encodeLtx(merged.header, merged.pages);
  await log.putMerged({ level: 1, minTxid: 2, maxTxid: 19, epoch: epoch(1), node: 'a', timestamp: 1, data });
  for (let txid = 2; txid <= 19; txid++) await blobs.delete(segmentName(txid));

  // As a watch tells it whose connection still delivers what happened before.
  const staleUntil = performance.now() + 1500;
  let rounds = 0;
  const lagging = new Proxy(log, {
    get: (target, key) => {
      if (key === 'follow')
        return (after: number, options: Parameters<SegmentLog['follow']>[1]) => {
          rounds++;
          if (performance.now() > staleUntil) return target.follow(after, options);
          return (async function* () {
            yield* trimmed.filter(({ maxTxid }) => maxTxid > after);
            const { signal } = options ?? {};
            if (signal?.aborted) return;
            await new Promise<void>((done) => signal?.addEventListener('abort', () => done()));
          })();
        };
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  let position: Position = { epoch: epoch(1), txid: 1 };
  const file = {
    pageSize: 512,
    sizeBytes: 3 * 512,
    get position() {
      return position;
    },
    apply: async (batch: PageBatch) => {
      position = batch.to;
    },
    flushData: async () => {},
  };
  const follower = new Follower(
    {
      file: file as unknown as ReplicaFile,
      log: lagging,
      env: systemEnv(),
      directory: '/nowhere',
      stallAfterMs: 60_000,
      onEvent: () => {},
      onChange: () => {},
    },
    undefined,
  );
  let ended: Error | undefined;
  void follower.start().then((error) => {
    ended = error;
  });
  try {
    await eventually(() => position.txid === 20 || ended, { what: 'its end, or the log’s', timeoutMs: 20_000 });
    expect(ended).toBeUndefined();
    expect(rounds).toBeGreaterThan(2);
  } finally {
    await follower.stop();
  }
});
