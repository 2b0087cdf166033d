/**
 * Facts about operating-system processes that make killing by pid safe: a pid is reused, a pid with its start time is
 * not. Linux only (procfs); elsewhere the start time is 0 and only liveness is known.
 */
import { readFileSync } from 'node:fs';

export interface ProcessId {
  readonly pid: number;
  /** Clock ticks since boot at which the process started (field 22 of /proc/pid/stat); 0 where procfs is missing. */
  readonly startTicks: number;
}

/** The identity of a running process, or undefined when it is gone (a zombie counts as gone). */
export function identifyProcess(pid: number): ProcessId | undefined {
  const stat = readStat(pid);
  if (stat === undefined) return isAlive(pid) && !hasProcfs() ? { pid, startTicks: 0 } : undefined;
  return stat.state === 'Z' || stat.state === 'X' ? undefined : { pid, startTicks: stat.startTicks };
}

/** Whether exactly this process still runs. */
export function isRunning(id: ProcessId): boolean {
  const now = identifyProcess(id.pid);
  return now !== undefined && (id.startTicks === 0 || now.startTicks === id.startTicks);
}

function readStat(pid: number): { state: string; startTicks: number } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The command name may itself contain spaces and parentheses: fields are counted from the last one.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0] as string, startTicks: Number(fields[19]) };
  } catch {
    return undefined;
  }
}

function hasProcfs(): boolean {
  return readStat(process.pid) !== undefined;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
