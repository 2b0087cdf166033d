/** The object that a log begins with is damaged: what brings it back to where it can be restored, as the hint of the proof says. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseEvent } from '@canopy/core';
import { eventually, type TemporaryDirectory, temporaryDirectory } from '@canopy/testkit';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { Primary, type PrimaryOptions, restore, verify } from '../../src/index.ts';
import { rowsOf, write } from '../database/cluster.ts';

let root: TemporaryDirectory;
let path: string;
let store: string;
beforeEach(async () => {
  root = await temporaryDirectory('damaged-base');
  path = join(root.path, 'a.db');
  store = join(root.path, 'log');
  write(path, 'PRAGMA journal_mode=WAL', 'CREATE TABLE t(id INTEGER PRIMARY KEY, x)');
});
afterEach(() => root.remove());

async function started(options: Partial<PrimaryOptions> = {}): Promise<Primary> {
  const primary = new Primary({ db: path, store, node: 'a', ...options });
  onTestFinished(() => primary.stop());
  await primary.start();
  return primary;
}

/** One bit in each object of a level. */
function damage(level: number): void {
  const directory = join(store, 'ltx', String(level));
  for (const name of readdirSync(directory)) {
    const bytes = readFileSync(join(directory, name));
    const at = bytes.length >> 1;
    bytes[at] = (bytes[at] as number) ^ 4;
    writeFileSync(join(directory, name), bytes);
  }
}

async function isRestorable(): Promise<boolean> {
  const dest = join(root.path, 'restored.db');
  try {
    await restore({ store, dest, overwrite: true, check: 'full' });
  } catch {
    return false;
  }
  expect(rowsOf(dest)).toEqual(rowsOf(path));
  return true;
}

async function damagedAndStopped(): Promise<void> {
  const first = await started();
  write(path, 'INSERT INTO t VALUES (1, 1)');
  await first.sync();
  await first.stop();
  damage(0);
  await expect(verify({ store })).rejects.toMatchObject({ code: 'SQLITE_VERIFY_FAILED' });
}

test.for(['nothing', 'commits'])(
  'one that starts with %s and a short interval stores an image at once',
  async (what) => {
    await damagedAndStopped();
    if (what === 'commits') write(path, 'INSERT INTO t VALUES (2, 2)');
    await started({ snapshotInterval: '1s' });
    await eventually(isRestorable, { what: 'the log can be restored', timeoutMs: 60_000, everyMs: 200 });
    await verify({ store });
  },
);

test.for([0, 9])('a primary whose own proof fails stores an image by itself; damaged: level %i', async (level) => {
  const primary = await started({ verifyInterval: '2s', snapshotInterval: level === 9 ? '1s' : '1h' });
  const events: DatabaseEvent[] = [];
  void (async () => {
    for await (const event of primary.watch()) events.push(event);
  })();
  write(path, 'INSERT INTO t VALUES (1, 1)');
  await primary.sync();
  const stored = (): number => events.filter(({ type }) => type === 'snapshot_created').length;
  if (level === 9) await eventually(() => stored() > 0, { what: 'an image', timeoutMs: 60_000 });
  // With the image alone damaged, what is before it would do.
  for (const each of new Set([0, level])) damage(each);
  const before = stored();
  const isFound = (): boolean =>
    events.some((event) => event.type === 'warning' && event.code === 'SQLITE_VERIFY_FAILED');
  await eventually(isFound, { what: 'the proof fails', timeoutMs: 60_000 });
  await eventually(() => stored() > before, { what: 'an image follows', timeoutMs: 60_000 });
  expect(await isRestorable()).toBe(true);
});
