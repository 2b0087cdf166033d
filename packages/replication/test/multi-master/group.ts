/** Masters on one log in memory, ended after each test. */
import { afterEach, expect, vi } from 'vitest';
import {
  type MemoryLog,
  MultiMasterManager,
  type SnapshotInfo,
  type SnapshotStore,
  VectorClock,
} from '../../src/index.ts';
import type { MultiMasterConfig } from '../../src/multi-master/options.ts';
import { Disk } from './disk.ts';

const open: MultiMasterManager[] = [];
afterEach(async () => {
  for (const master of open.splice(0)) await master.close();
});

export function make(
  masterId: string,
  log: MemoryLog,
  disk = new Disk(),
  config: Partial<MultiMasterConfig> = {},
): MultiMasterManager {
  return ended(
    new MultiMasterManager({ masterId, pipeline: log.connect(masterId), stateManager: disk.open(), ...config }),
  );
}

/** Closes it after the test. */
export function ended(master: MultiMasterManager): MultiMasterManager {
  open.push(master);
  return master;
}

export const joined = async (
  masterId: string,
  log: MemoryLog,
  disk = new Disk(),
  config: Partial<MultiMasterConfig> = {},
) => {
  const master = make(masterId, log, disk, config);
  await master.subscribe();
  return master;
};

export const until = (check: () => Promise<void> | void) => vi.waitFor(check, { timeout: 3_000, interval: 5 });
export const same = (...masters: MultiMasterManager[]) =>
  until(async () => {
    const [first, ...others] = masters.map((master) => master.getVectorClock());
    for (const clock of others) expect(VectorClock.compare(first as VectorClock, clock)).toBe('equal');
    const hashes = await Promise.all(masters.map((master) => master.stateHash()));
    expect(new Set(hashes).size).toBe(1);
  });

/** As the real ones: whole or not at all. */
export function memorySnapshots(): SnapshotStore {
  const kept: { info: SnapshotInfo; lines: string[] }[] = [];
  return {
    put: async (info, lines) => {
      const all: string[] = [];
      for await (const line of lines) all.push(line);
      const full = { ...info, entries: all.length, bytes: all.join('').length, sha256: '', storedAt: 0 };
      kept.push({ info: full, lines: all });
      return full;
    },
    latest: async () => kept.at(-1)?.info,
    read: async function* (info) {
      yield kept.find((each) => each.info.sequence === info.sequence)?.lines ?? [];
    },
    prune: async () => 0,
  };
}
