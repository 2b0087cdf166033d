import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@canopy/core';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { DatabaseLock } from '../../src/process/database-lock.ts';

let directory: string;
beforeEach(() => {
  const root = mkdtempSync(join(tmpdir(), 'lock-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  directory = join(root, 'a.db-canopy');
});

const acquire = (timeoutMs = 0): Promise<DatabaseLock> =>
  DatabaseLock.acquire({ path: 'a.db', directory, node: 'n', pid: 7, clock: systemClock, timeoutMs });

test('held once; free again, with nothing left where nothing was kept', async () => {
  const lock = await acquire();
  await expect(acquire()).rejects.toMatchObject({ code: 'SQLITE_IN_USE', fields: { pid: 7, node: 'n' } });
  lock.release();
  expect(existsSync(directory)).toBe(false);
});

test('what was kept stays, and the lock beside it', async () => {
  const lock = await acquire();
  writeFileSync(join(directory, 'state.json'), '{}');
  lock.release();
  expect(readdirSync(directory).sort()).toEqual(['holder.json', 'lock', 'state.json']);
});

test('who waited for a lock that went with its directory holds the new one', async () => {
  const first = await acquire();
  const waiting = acquire(20_000);
  first.release();
  const second = await waiting;
  expect(existsSync(join(directory, 'lock'))).toBe(true);
  await expect(acquire()).rejects.toMatchObject({ code: 'SQLITE_IN_USE' });
  second.release();
  expect(existsSync(directory)).toBe(false);
});
