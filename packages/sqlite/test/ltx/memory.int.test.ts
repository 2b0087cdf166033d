/** An image that is far larger than what the streams may hold at a time. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const PROGRAM = fileURLToPath(new URL('memory-program.ts', import.meta.url));
const MIB = 1024 * 1024;

test.each(['block', 'frame'])('1 GiB through both streams takes less than 64 MiB (%s pages)', async (encoding) => {
  const { stdout } = await promisify(execFile)(process.execPath, [PROGRAM, '1024', encoding], { timeout: 80_000 });
  const { pages, growthBytes } = JSON.parse(stdout) as { pages: number; growthBytes: number };
  expect(pages).toBe(262_144);
  expect(growthBytes).toBeLessThan(64 * MIB);
});
