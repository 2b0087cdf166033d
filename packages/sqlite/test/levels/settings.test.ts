import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatabaseEvent } from '@canopy/core';
import { systemEnv } from '@canopy/core';
import { VirtualClock } from '@canopy/core/testing';
import { expect, onTestFinished, test } from 'vitest';
import { checkBucket, checkDirectory } from '../../src/levels/bucket-check.ts';
import { LogKeeper } from '../../src/levels/keeper.ts';
import { findingsIn, settingsOf } from '../../src/levels/settings.ts';
import { SegmentLog } from '../../src/log/segment-log.ts';
import { DirectoryStore } from '../../src/store/directory-store.ts';
import { fill, memoryLog } from '../log/logs.ts';

function temporary(): string {
  const directory = mkdtempSync(join(tmpdir(), 'settings-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** What a primary's keeper warns of in its first minute. */
async function warned(log: SegmentLog): Promise<string[]> {
  const clock = new VirtualClock();
  const events: DatabaseEvent[] = [];
  const options = { compactionLevelsMs: [], keepSegmentsMs: 0, retentionMs: 60_000, keepSnapshots: 1 } as const;
  const keeper = new LogKeeper({
    log,
    env: systemEnv({ clock }),
    node: 'a',
    scratch: join(temporary(), 'scratch'),
    options: { ...options, snapshotIntervalMs: 60_000, pageEncoding: 'block' },
    onEvent: (event) => events.push(event),
    onChange: () => {},
  });
  const stop = new AbortController();
  const running = keeper.run(stop.signal);
  for (let i = 0; i < 60; i++) await clock.advance(1000);
  stop.abort();
  await running;
  return events.flatMap((event) => (event.type === 'warning' ? [event.code] : []));
}

test('what the opening has told is not told again by the primary; what is new is told once', async () => {
  const { log } = await memoryLog();
  await fill(log, 1, 3);
  const opened = await findingsIn(log.store);
  expect(
    settingsOf(log)
      .note(opened)
      .map(({ code }) => code),
  ).toEqual(['LOG_NOT_REPLICATED']);
  expect(await warned(log)).toEqual([]);
  expect(settingsOf(log).findings).toHaveLength(1);
  const { log: other } = await memoryLog();
  await fill(other, 1, 3);
  expect(await warned(other)).toEqual(['LOG_NOT_REPLICATED']);
  settingsOf(other).note([]);
  expect(settingsOf(other).note(opened)).toHaveLength(1);
});

test('a directory is not told to become a cluster', async () => {
  const env = systemEnv();
  const blobs = DirectoryStore.open({ path: join(temporary(), 'log'), env, make: {} });
  onTestFinished(() => blobs.close());
  const log = new SegmentLog({ blobs, clock: env.clock });
  await fill(log, 1, 3);
  expect(await warned(log)).toEqual([]);
  const info = await blobs.bucketInfo();
  expect(checkBucket(info)).not.toEqual([]);
  const [full] = checkDirectory({ ...info, bytes: 90, maxBytes: 100 });
  expect(full?.code).toBe('LOG_NEARLY_FULL');
  expect(full?.hint).not.toContain('nats');
});

test('a directory without a log is named as one', () => {
  const path = join(temporary(), 'none');
  expect(() => DirectoryStore.open({ path, env: systemEnv() })).toThrow(`there is no log in the directory ${path}`);
});
