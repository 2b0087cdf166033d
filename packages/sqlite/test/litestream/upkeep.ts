/** The product's own upkeep of a log, run on a bucket until nothing is due: merges, and deletions of what they cover. */
import { systemEnv } from '@canopy/core';
import { eventually } from '@canopy/testkit';
import { LogKeeper } from '../../src/levels/keeper.ts';
import { planCompaction } from '../../src/levels/planning.ts';
import { planRetention } from '../../src/levels/retention.ts';
import type { LogEntry } from '../../src/log/names.ts';
import type { PageEncoding } from '../../src/ltx/header.ts';
import type { LitestreamRig } from './rig.ts';

const DAY_MS = 86_400_000;
/** Every stretch of the workload is over by the keeper's clock. */
const AHEAD_MS = 60_000;

/** Resolves with what the log holds then. */
export async function keep({ log, directory }: LitestreamRig, pageEncoding: PageEncoding): Promise<LogEntry[]> {
  const written = (await log.all()).filter(({ level }) => level === 0).map(({ timestamp }) => timestamp);
  // However long the workload took, it lies in several stretches of each level.
  const stretchMs = Math.max(1, Math.floor((Math.max(...written) - Math.min(...written)) / 6));
  const levelsMs = [stretchMs, 3 * stretchMs];
  const system = systemEnv();
  const wall = (): number => system.clock.wall() + AHEAD_MS;
  const env = { ...system, clock: Object.assign(Object.create(system.clock) as typeof system.clock, { wall }) };
  const options = {
    compactionLevelsMs: levelsMs,
    keepSegmentsMs: 0,
    retentionMs: DAY_MS,
    keepSnapshots: 2,
    snapshotIntervalMs: DAY_MS,
    pageEncoding,
  };
  const keeper = new LogKeeper({
    log,
    env,
    node: 'a',
    options,
    scratch: `${directory}/merge`,
    onEvent: () => {},
    onChange: () => {},
  });
  const ending = new AbortController();
  const running = keeper.run(ending.signal);
  try {
    return await eventually(
      async () => {
        const entries = await log.all();
        const due = planCompaction(entries, levelsMs, wall());
        const retention = { levels: true, keepMs: 0, keepSnapshotsMs: DAY_MS, snapshotSpacingMs: DAY_MS };
        const old = planRetention(entries, wall(), retention);
        if (keeper.problem !== undefined) throw new Error(keeper.problem);
        return due === undefined && old.length === 0 ? entries : undefined;
      },
      { what: 'the end of the upkeep', timeoutMs: 60_000 },
    );
  } finally {
    ending.abort();
    await running;
  }
}
