import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { silentLogger, systemEnv } from '@canopy/core';
import { VirtualClock } from '@canopy/core/testing';
import { eventually, temporaryDirectory } from '@canopy/testkit';
import { expect, it, onTestFinished } from 'vitest';
import { WakeUp } from '../../src/primary/wake-up.ts';

const IDLE_MS = 250;
/** Activity ends after a second. */
const QUIET_MS = 2000;

async function watched(): Promise<{ wakeUp: WakeUp; clock: VirtualClock; write(): Promise<void> }> {
  const directory = await temporaryDirectory('wake-up');
  onTestFinished(() => directory.remove());
  const path = join(directory.path, 'app.db');
  const clock = new VirtualClock();
  let writes = 0;
  const wakeUp = new WakeUp({ ...systemEnv(), clock, log: silentLogger }, IDLE_MS, () => writes++);
  onTestFinished(() => wakeUp.close());
  wakeUp.watch(path);
  const write = async (): Promise<void> => {
    const before = writes;
    appendFileSync(`${path}-wal`, 'frame');
    await eventually(() => writes > before);
  };
  return { wakeUp, clock, write };
}

/** How long the next pause is, in steps of the idle pause. */
async function pauseOf(wakeUp: WakeUp, clock: VirtualClock): Promise<number> {
  let ended = false;
  void wakeUp.pause().then(() => {
    ended = true;
  });
  for (let steps = 1; steps <= 20; steps++) {
    await clock.advance(IDLE_MS);
    if (ended) return steps;
  }
  return Number.POSITIVE_INFINITY;
}

async function pausesOf(wakeUp: WakeUp, clock: VirtualClock, count: number): Promise<number[]> {
  const pauses: number[] = [];
  for (let i = 0; i < count; i++) pauses.push(await pauseOf(wakeUp, clock));
  return pauses;
}

it('an idle database is looked at less and less often, once the watch has told of a commit', async () => {
  const { wakeUp, clock, write } = await watched();
  await write();
  await wakeUp.pause();
  wakeUp.found();
  await clock.advance(QUIET_MS);
  expect(await pausesOf(wakeUp, clock, 6)).toEqual([1, 2, 4, 8, 8, 8]);
});

it('stays close to a database whose watch has not told of anything', async () => {
  const { wakeUp, clock } = await watched();
  await clock.advance(QUIET_MS);
  expect(await pausesOf(wakeUp, clock, 4)).toEqual([1, 1, 1, 1]);
});

it('a commit that the watch missed ends the trust in it, one that it told of begins it again', async () => {
  const { wakeUp, clock, write } = await watched();
  await write();
  await wakeUp.pause();
  wakeUp.found();
  wakeUp.found();
  await clock.advance(QUIET_MS);
  expect(await pausesOf(wakeUp, clock, 3)).toEqual([1, 1, 1]);
  await write();
  await wakeUp.pause();
  wakeUp.found();
  await clock.advance(QUIET_MS);
  expect(await pausesOf(wakeUp, clock, 3)).toEqual([1, 2, 4]);
});
