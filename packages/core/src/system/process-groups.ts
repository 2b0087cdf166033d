/**
 * Ending process groups for certain: whether anybody is left in one, and who left it on purpose (setsid) but still
 * carries its mark in the environment. A group is known by its leader's pid and start time. Its number can't be given
 * to another process while one member lives; so when the number belongs to a process with another start time, the group
 * is gone, and that process gets no signal. Linux only (procfs); elsewhere marks are never found and a group counts as
 * gone when no signal can be sent to it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { identifyProcess, type ProcessId } from './processes.ts';

/** The environment variable by which a launched process and all its descendants are recognised. */
export const PROCESS_MARK = 'CANOPY_PROCESS_MARK';

/** The process group of a running process, or undefined when it is gone. */
export function groupOf(pid: number): number | undefined {
  return statOf(pid)?.group;
}

/** Sends the signal to every member of the leader's group. False when nobody is left (zombies still count here). */
export function signalGroup(leader: ProcessId, signal: NodeJS.Signals | 0): boolean {
  return !isReused(leader) && send(-leader.pid, signal);
}

/** Sends the signal to exactly this process. False when it is gone. */
export function signalProcess(id: ProcessId, signal: NodeJS.Signals): boolean {
  const now = identifyProcess(id.pid);
  if (now === undefined || (id.startTicks !== 0 && now.startTicks !== id.startTicks)) return false;
  return send(id.pid, signal);
}

/** Whether no member of the leader's group can run any code; zombies are harmless and don't count. */
export function isGroupGone(leader: ProcessId): boolean {
  if (!signalGroup(leader, 0)) return true;
  return !processIds().some((pid) => {
    const stat = statOf(pid);
    return stat?.group === leader.pid && !isDead(pid, stat.state);
  });
}

/** The mark that a running process carries, or undefined when it has none or can't be read. */
export function markOf(pid: number): string | undefined {
  const entry = environmentOf(pid)
    .split('\0')
    .find((line) => line.startsWith(`${PROCESS_MARK}=`));
  return entry?.slice(PROCESS_MARK.length + 1);
}

/** Every living process that carries the mark. */
export function processesWithMark(mark: string): ProcessId[] {
  const wanted = `${PROCESS_MARK}=${mark}`;
  const found: ProcessId[] = [];
  for (const pid of processIds()) {
    // The environment is one text with NUL at each end; a mark is never the tail of another variable's value.
    if (!`\0${environmentOf(pid)}`.includes(`\0${wanted}\0`)) continue;
    const id = identifyProcess(pid);
    if (id !== undefined) found.push(id);
  }
  return found;
}

function isReused(leader: ProcessId): boolean {
  if (leader.startTicks === 0) return false;
  const now = identifyProcess(leader.pid);
  return now !== undefined && now.startTicks !== leader.startTicks;
}

function processIds(): number[] {
  try {
    return readdirSync('/proc')
      .map(Number)
      .filter((pid) => pid > 0);
  } catch {
    return [];
  }
}

function environmentOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1');
  } catch {
    return '';
  }
}

function statOf(pid: number): { state: string; group: number } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0] as string, group: Number(fields[2]) };
  } catch {
    return undefined;
  }
}

/** A zombie whose other threads still run is not dead: its first thread has only ended before them. */
function isDead(pid: number, state: string): boolean {
  if (state === 'X') return true;
  if (state !== 'Z') return false;
  try {
    return readdirSync(`/proc/${pid}/task`).length <= 1;
  } catch {
    return true;
  }
}

function send(target: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(target, signal);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}
