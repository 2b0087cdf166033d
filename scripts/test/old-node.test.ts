import { spawnSync } from 'node:child_process';
import { existsSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const COMMAND = fileURLToPath(new URL('../../packages/cli/bin/canopy.js', import.meta.url));

/** A Node on PATH or in a usual place that is too old for Canopy. */
function findOldNode(): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/bin', '/usr/local/bin', '/bin'];
  const candidates = folders.map((folder) => join(folder, 'node')).filter((path) => existsSync(path));
  return [...new Set(candidates.map((path) => realpathSync(path)))].find((path) => {
    const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' });
    const [major = 0, minor = 0] = (stdout ?? '').replace('v', '').split('.').map(Number);
    return major > 0 && (major < 22 || (major === 22 && minor < 18));
  });
}

it('tells a user on an old Node what is wrong, instead of a syntax error', ({ skip }) => {
  const node = findOldNode();
  if (node === undefined) return skip('no Node older than 22.18 on this machine');
  const { status, stdout, stderr } = spawnSync(node, [COMMAND, '--help'], { encoding: 'utf8' });
  expect(stderr).toContain('canopy needs Node.js 22.18 or newer');
  expect(stderr).toContain(node);
  expect(stderr).not.toContain('SyntaxError');
  expect(stdout).toBe('');
  expect(status).toBe(69);
});
