/**
 * Ends a group and its strays for certain: SIGKILL, look, again, until nothing of it is left. Deliberately without a
 * bound: a process that the kernel can't end (stuck in a device) still may write, and nobody may be told otherwise.
 */
import { readFileSync } from 'node:fs';
import {
  type Clock,
  isGroupGone,
  isRunning,
  type Logger,
  type ProcessId,
  processesWithMark,
  signalGroup,
  signalProcess,
} from '@canopy/core';

const COMPLAIN_MS = 5000;

export interface Prey extends ProcessId {
  /** Value of the environment variable that marks it and all its descendants. */
  readonly mark: string;
}

export async function endForCertain(prey: Prey, clock: Clock, log: Logger): Promise<void> {
  let complainAt = clock.monotonic() + COMPLAIN_MS;
  for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 1.5, 50)) {
    signalGroup(prey, 'SIGKILL');
    // The group first: its members carry the mark too, and are no strays.
    if (isGroupGone(prey)) {
      const strays = processesWithMark(prey.mark);
      if (strays.length === 0) return;
      log.warn('backend_left_its_group', { pids: strays.map((stray) => stray.pid) });
      for (const stray of strays) signalProcess(stray, 'SIGKILL');
    }
    if (clock.monotonic() >= complainAt) {
      log.error('backend_cannot_be_killed', { pid: prey.pid });
      complainAt += COMPLAIN_MS;
    }
    await clock.sleep(pauseMs);
  }
}

/** What an earlier life of this node left running, as its record tells. */
export interface Leftover extends Prey {
  readonly boot: string;
}

/**
 * As `endForCertain`, from a record that may be old: the group is touched only when its leader still is the very
 * process of the record, in the same boot of the machine; else only what carries the mark is ended.
 */
export async function endLeftover(left: Leftover, clock: Clock, log: Logger): Promise<void> {
  if (left.boot === bootId() && isRunning(left)) return endForCertain(left, clock, log);
  for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 1.5, 50)) {
    const strays = processesWithMark(left.mark);
    if (strays.length === 0) return;
    for (const stray of strays) signalProcess(stray, 'SIGKILL');
    await clock.sleep(pauseMs);
  }
}

/** Changes with every boot; empty where the system has none. */
export function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}
