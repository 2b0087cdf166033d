/** What a process takes of the machine, from procfs. */
import { readFileSync } from 'node:fs';
import { statFields } from './process-tree.ts';

export interface MemoryUse {
  /** Memory of its own: heap, stacks. What counts when many of them run. */
  readonly rssAnonKb: number;
  /** Mapped files, mostly shared with others that run the same program. */
  readonly rssFileKb: number;
  readonly rssKb: number;
}

export interface CpuUse {
  /** Since its start, in milliseconds (resolution: 10 ms). */
  readonly userMs: number;
  readonly systemMs: number;
  readonly totalMs: number;
}

/** Clock ticks per second in procfs; 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** Undefined when the process is gone. */
export function memoryOf(pid: number): MemoryUse | undefined {
  const status = readStatus(pid);
  const kb = (field: string): number | undefined => {
    const match = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status ?? '');
    return match === null ? undefined : Number(match[1]);
  };
  const [rssAnonKb, rssFileKb, rssKb] = [kb('RssAnon'), kb('RssFile'), kb('VmRSS')];
  if (rssAnonKb === undefined || rssFileKb === undefined || rssKb === undefined) return undefined;
  return { rssAnonKb, rssFileKb, rssKb };
}

/** Undefined when the process is gone. Children are not counted. */
export function cpuOf(pid: number): CpuUse | undefined {
  const fields = statFields(pid);
  if (fields === undefined) return undefined;
  const [userMs, systemMs] = [fields[11], fields[12]].map((ticks) => (Number(ticks) * 1000) / TICKS_PER_SECOND);
  return { userMs: userMs as number, systemMs: systemMs as number, totalMs: (userMs as number) + (systemMs as number) };
}

function readStatus(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return undefined;
  }
}
