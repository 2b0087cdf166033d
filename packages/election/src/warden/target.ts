/**
 * A guarded process as something that can be ended for certain: with its whole group when it leads one, and with the
 * descendants that left the group but carry its mark. Invariant: no signal is ever sent to a process that merely
 * inherited a number: every step goes by pid and start time together.
 */
import type { Clock, GuardedProcess } from '@canopy/core';
import type { ProcessTable } from './process-table.ts';

export interface Target extends GuardedProcess {
  /** It leads a process group, which ends with it. */
  readonly ownGroup: boolean;
  readonly mark: string | undefined;
}

/** Takes the facts that killing needs while the process surely runs. Undefined when it is gone already. */
export function aim(table: ProcessTable, guarded: GuardedProcess): Target | undefined {
  const group = table.groupOf(guarded.pid);
  const mark = table.markOf(guarded.pid);
  // Identity last: if it still is the same process now, the facts above were its own.
  if (table.identify(guarded.pid)?.startTicks !== guarded.startTicks) return undefined;
  return { ...guarded, ownGroup: group === guarded.pid, mark };
}

/** Sends the signal to everything of the target that can be told for certain. */
export function signalTarget(table: ProcessTable, target: Target, signal: NodeJS.Signals): void {
  if (target.ownGroup) table.signalGroup(target, signal);
  else table.signalProcess(target, signal);
}

/** SIGKILLs what is left and says whether nothing is. One look at /proc; to be repeated until true. */
function endedBy(table: ProcessTable, target: Target): boolean {
  if (!isOwnGone(table, target)) {
    signalTarget(table, target, 'SIGKILL');
    return false;
  }
  return killMarked(table, target) === 0;
}

function killMarked(table: ProcessTable, target: Target): number {
  const marked = target.mark === undefined ? [] : table.processesWithMark(target.mark);
  for (const id of marked) table.signalProcess(id, 'SIGKILL');
  return marked.length;
}

/** Whether the process, and its group when it leads one, is gone. */
export function isOwnGone(table: ProcessTable, target: Target): boolean {
  if (target.ownGroup) return table.isGroupGone(target);
  return table.identify(target.pid)?.startTicks !== target.startTicks;
}

/** Kills until every target is seen gone: true, or `until` (monotonic ms) has passed with one still there: false. */
export async function endTargets(
  table: ProcessTable,
  clock: Clock,
  targets: readonly Target[],
  until: number,
): Promise<boolean> {
  for (const target of targets) signalTarget(table, target, 'SIGKILL');
  // All die at the same time, those that left their group too.
  for (const target of targets) killMarked(table, target);
  let left = targets;
  for (let pauseMs = 1; ; pauseMs = Math.min(pauseMs * 1.5, 50)) {
    left = left.filter((target) => !endedBy(table, target));
    if (left.length === 0) return true;
    if (clock.monotonic() >= until) return false;
    await clock.sleep(pauseMs);
  }
}

/** SIGTERM, up to `drainMs` for a good end, then as `endTargets`. */
export async function drainTargets(
  table: ProcessTable,
  clock: Clock,
  targets: readonly Target[],
  drainMs: number,
  until: number,
): Promise<boolean> {
  for (const target of targets) signalTarget(table, target, 'SIGTERM');
  const patience = clock.monotonic() + drainMs;
  for (let pauseMs = 2; clock.monotonic() < patience; pauseMs = Math.min(pauseMs * 1.5, 25)) {
    if (targets.every((target) => isOwnGone(table, target))) break;
    await clock.sleep(pauseMs);
  }
  return endTargets(table, clock, targets, Math.max(until, clock.monotonic() + 1));
}
