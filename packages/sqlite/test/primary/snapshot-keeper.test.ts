import { type Clock, silentLogger, systemEnv } from '@canopy/core';
import { VirtualClock } from '@canopy/core/testing';
import { expect, test } from 'vitest';
import { resolveSqliteOptions } from '../../src/database/options.ts';
import type { PrimaryDeps } from '../../src/primary/primary.ts';
import { SnapshotKeeper } from '../../src/primary/snapshot-keeper.ts';
import { fill, memoryLog, snapshotAt } from '../log/logs.ts';

const HOUR = 3_600_000;
const END = 20;

/** Whether a full image is due at once for a primary that comes after one whose image is so old. */
async function isDue(ageMs: number, skewMs: number): Promise<boolean> {
  const clock = new VirtualClock();
  const own: Clock = {
    wall: () => clock.wall() + skewMs,
    monotonic: () => clock.monotonic(),
    sleep: (ms, options) => clock.sleep(ms, options),
    timer: (ms, fire) => clock.timer(ms, fire),
  };
  const { log } = await memoryLog({ clock });
  await fill(log, 1, END);
  await snapshotAt(log, 5);
  await clock.advance(ageMs);
  const env = { ...systemEnv({ clock: own }), log: silentLogger };
  const deps = { env, log, options: resolveSqliteOptions({ snapshotInterval: '1h' }) } as unknown as PrimaryDeps;
  const keeper = new SnapshotKeeper(deps, END);
  const inherited = keeper.inherit(new AbortController().signal);
  await clock.advance(1000);
  await inherited;
  return keeper.isDue({ txid: END + 1, sizeBytes: 1 << 30 });
}

test.each([0, -30 * HOUR, 30 * HOUR])(
  'an image has its age by the store, whatever our clock says (%i ms)',
  async (skewMs) => {
    expect(await isDue(HOUR / 2, skewMs)).toBe(false);
    expect(await isDue(2 * HOUR, skewMs)).toBe(true);
  },
);
