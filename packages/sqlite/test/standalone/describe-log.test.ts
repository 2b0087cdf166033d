/** What can be said of a log without reading its contents, and what is opened for people who have only its address. */
import { mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger, systemEnv } from '@canopy/core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SegmentLog } from '../../src/log/segment-log.ts';
import { describeLog } from '../../src/standalone/describe-log.ts';
import { openSnapshots } from '../../src/standalone/snapshots.ts';
import { DirectoryStore } from '../../src/store/directory-store.ts';
import { fill } from '../log/logs.ts';

const env = { ...systemEnv(), log: silentLogger };
let root: string;
let store: string;

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'canopy-describe-'));
  store = join(root, 'log');
  const blobs = DirectoryStore.open({ path: store, env, make: {} });
  await fill(new SegmentLog({ blobs, clock: env.clock }), 1, 5);
  blobs.close();
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const object = (txid: number): string => {
  const hex = txid.toString(16).padStart(16, '0');
  return `ltx/0/${hex}-${hex}.ltx`;
};

test('files of a directory that were deleted or cut are named', async () => {
  expect((await describeLog({ store, env })).problems).toEqual([]);
  rmSync(join(store, object(3)));
  truncateSync(join(store, object(4)), 10);
  const { problems, end } = await describeLog({ store, env });
  expect(end.maxTxid).toBe(5);
  expect(problems.map(({ problem }) => problem)).toEqual([
    `files of the log are missing or cut: ${object(3)}, ${object(4)}`,
  ]);
});

test('what was opened for snapshots can be closed twice', async () => {
  const opened = await openSnapshots({ store, make: true, env });
  await opened.close();
  await opened.close();
});
