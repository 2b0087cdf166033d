import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VirtualClock } from '@canopy/core/testing';
import { expect, it } from 'vitest';
import { isDirectoryLocked, lockDirectory } from '../../src/cluster/directory-lock.ts';
import { PortBook } from '../../src/cluster/ports.ts';
import { RestartBudget } from '../../src/cluster/restart-budget.ts';

it('a directory is locked once, the message names the holder, and the lock goes with its holder', () => {
  const directory = mkdtempSync(join(tmpdir(), 'canopy-lock-'));
  try {
    {
      using _held = lockDirectory(directory);
      expect(() => lockDirectory(directory)).toThrow(
        expect.objectContaining({ code: 'DIRECTORY_IN_USE', fields: { directory, pid: String(process.pid) } }),
      );
    }
    lockDirectory(directory)[Symbol.dispose]();
  } finally {
    rmSync(directory, { recursive: true });
  }
});

it('who only looks sees whether it is held; what is not about a holder is told as such', () => {
  const directory = mkdtempSync(join(tmpdir(), 'canopy-lock-'));
  try {
    expect(isDirectoryLocked(directory)).toBe(false);
    const held = lockDirectory(directory);
    expect(isDirectoryLocked(directory)).toBe(true);
    held[Symbol.dispose]();
    expect(isDirectoryLocked(directory)).toBe(false);
    writeFileSync(
      join(directory, 'up.lock'),
      'this is no database at all, and longer than a header of one hundred bytes'.repeat(9),
    );
    expect(() => lockDirectory(directory)).toThrow(expect.objectContaining({ code: 'DIRECTORY_UNWRITABLE' }));
  } finally {
    rmSync(directory, { recursive: true });
  }
});

it('restarts are bounded within a moving window', () => {
  const clock = new VirtualClock();
  const budget = new RestartBudget(clock, { limit: 2, withinMs: 1_000 });
  expect([budget.take(), budget.take(), budget.take()]).toEqual([true, true, false]);
});

it('ports stay the same from one start to the next and differ between names', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'canopy-ports-'));
  try {
    const first = new PortBook(directory);
    const [a, b, c] = await Promise.all([first.get('a'), first.get('b', 18_300), first.get('c', 18_300)]);
    expect(new Set([a, b, c]).size).toBe(3);
    expect(await new PortBook(directory).get('a')).toBe(a);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
