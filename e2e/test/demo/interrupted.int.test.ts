/** ctrl-C in the middle of a freeze: what was stopped is woken and ends with everything else. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { eventually, hasProcfs, spawnNode, temporaryDirectory } from '@canopy/testkit';
import { expect, it } from 'vitest';

const DEMO = fileURLToPath(new URL('../../src/demo.ts', import.meta.url));

/** Processes that name the directory in their command line. */
function naming(directory: string): string[] {
  return readdirSync('/proc').filter((entry) => {
    if (!/^\d+$/.test(entry)) return false;
    try {
      return readFileSync(`/proc/${entry}/cmdline`, 'latin1').includes(directory);
    } catch {
      return false;
    }
  });
}

/** Any of them is stopped by a signal. */
function isAnyStopped(directory: string): boolean {
  return naming(directory).some((pid) => {
    try {
      return /\) T /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
    } catch {
      return false;
    }
  });
}

it('the demo leaves nothing running, also when it is interrupted while a node is frozen', async ({ skip }) => {
  const reason = hasProcfs();
  if (reason !== undefined) return skip(reason);
  await using directory = await temporaryDirectory('demo');
  await using demo = await spawnNode(DEMO, ['--ttl', '1500ms', '--dir', directory.path]);
  await demo.line(/^\(c\)/, { timeoutMs: 60_000 });
  await eventually(() => isAnyStopped(directory.path), { what: 'a frozen node', timeoutMs: 20_000 });
  demo.signal('SIGINT');
  expect((await demo.exited).code).toBe(130);
  await eventually(() => naming(directory.path).length === 0, { what: 'the end of all its processes' });
});
