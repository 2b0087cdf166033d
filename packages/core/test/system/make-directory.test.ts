import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeDirectory } from '../../src/index.ts';

let base: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'canopy-mkdir-'));
});
afterEach(() => rmSync(base, { recursive: true }));

describe('makeDirectory', () => {
  it('makes missing parents, for this user only, and leaves what exists alone', () => {
    const path = join(base, 'a', 'b');
    makeDirectory(path);
    makeDirectory(path);
    expect(statSync(path).mode & 0o777).toBe(0o700);
  });
  it('ends with the reason where nothing can be made: below a file, below procfs', () => {
    writeFileSync(join(base, 'file'), '');
    expect(() => makeDirectory(join(base, 'file', 'x', 'y'))).toThrow(expect.objectContaining({ code: 'ENOTDIR' }));
    expect(() => makeDirectory('/proc/canopy/x')).toThrow(expect.objectContaining({ code: 'ENOENT' }));
  });
});
