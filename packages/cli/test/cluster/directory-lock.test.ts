import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { lockDirectory } from '../../src/cluster/directory-lock.ts';
import { PortBook } from '../../src/cluster/ports.ts';

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
