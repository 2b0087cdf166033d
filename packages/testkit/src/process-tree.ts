/**
 * All descendants of a process, read from procfs by parentage, so that children in process groups and sessions of their
 * own are found too. To hit a tree "at once" it is first stopped, round by round until no new member shows up: a stopped
 * process neither forks nor reacts to the loss of another.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { identifyProcess, isRunning, type ProcessId } from '@canopy/core';
import { eventually } from './eventually.ts';

/** The process and its descendants, parents before children; empty when it is gone. */
export function processTree(pid: number): readonly ProcessId[] {
  const children = new Map<number, number[]>();
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const parent = parentOf(Number(entry));
    if (parent === undefined) continue;
    const siblings = children.get(parent);
    if (siblings === undefined) children.set(parent, [Number(entry)]);
    else siblings.push(Number(entry));
  }
  const tree: ProcessId[] = [];
  const waiting = [pid];
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const id = identifyProcess(next);
    if (id !== undefined) tree.push(id);
    waiting.push(...(children.get(next) ?? []));
  }
  return tree;
}

/** SIGKILLs the whole tree as one, and resolves with its members when all are gone. */
export async function killTree(pid: number): Promise<readonly ProcessId[]> {
  const tree = freezeTree(pid);
  for (const member of tree) signalProcess(member, 'SIGKILL');
  await eventually(() => !tree.some(isRunning), { what: `the end of process ${pid} and its descendants` });
  return tree;
}

/** SIGSTOPs the whole tree; the members are what to wake later, should the root be gone by then. */
export function freezeTree(pid: number): readonly ProcessId[] {
  const stopped = new Map<number, ProcessId>();
  for (;;) {
    const fresh = processTree(pid).filter((member) => !stopped.has(member.pid));
    if (fresh.length === 0) return [...stopped.values()];
    for (const member of fresh) {
      signalProcess(member, 'SIGSTOP');
      stopped.set(member.pid, member);
    }
  }
}

/** SIGCONTs the whole tree, children first. */
export function thawTree(pid: number): readonly ProcessId[] {
  const tree = processTree(pid);
  for (const member of [...tree].reverse()) signalProcess(member, 'SIGCONT');
  return tree;
}

/** Signals exactly this process; false when it is gone. */
export function signalProcess(id: ProcessId, signal: NodeJS.Signals): boolean {
  if (!isRunning(id)) return false;
  try {
    process.kill(id.pid, signal);
    return true;
  } catch {
    return false;
  }
}

/** `T` stopped, `S` sleeping, `R` running, `Z` zombie…; undefined when there is no such process. */
export function processState(pid: number): string | undefined {
  return statFields(pid)?.[0];
}

function parentOf(pid: number): number | undefined {
  const parent = statFields(pid)?.[1];
  return parent === undefined ? undefined : Number(parent);
}

/** The fields of /proc/pid/stat from the third on. The name before them may contain anything. */
export function statFields(pid: number): readonly string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}
