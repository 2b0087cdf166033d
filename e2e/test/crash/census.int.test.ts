import { systemClock } from '@canopy/core';
import { hasProcfs, processState, spawnNode, temporaryDirectory } from '@canopy/testkit';
import { expect, it } from 'vitest';
import { Census } from '../../src/crash/census.ts';

const SLEEPER = new URL('./sleeper.ts', import.meta.url);

it.skipIf(hasProcfs() !== undefined)('finds and ends what outlived the campaign, and nothing else', async () => {
  await using directory = await temporaryDirectory('census');
  await using stranger = await spawnNode(SLEEPER, ['/somewhere/else']);
  await using noted = await spawnNode(SLEEPER, ['/somewhere/else']);
  await using named = await spawnNode(SLEEPER, [directory.path]);
  await Promise.all([stranger, noted, named].map((child) => child.line(/up/)));
  const census = new Census(directory.path);
  census.note(noted.pid);
  noted.signal('SIGSTOP');
  await expect.poll(() => processState(noted.pid)).toBe('T');
  census.wake();
  await expect.poll(() => processState(noted.pid)).not.toBe('T');

  const left = await census.endLeftovers(systemClock, 100);
  expect(left.map((line) => Number(/process (\d+)/.exec(line)?.[1])).sort()).toEqual([noted.pid, named.pid].sort());
  expect(await noted.exited).toMatchObject({ signal: 'SIGKILL' });
  expect(await named.exited).toMatchObject({ signal: 'SIGKILL' });
  expect(stranger.exit).toBeUndefined();
  expect(await census.endLeftovers(systemClock, 100)).toEqual([]);
});
