/** Which of a node's processes is which, told by what they run. */
import { readFileSync } from 'node:fs';
import type { ProcessId } from '@canopy/core';
import { processTree } from '@canopy/testkit';

export type ProcessKind = 'node' | 'warden' | 'database' | 'backend';

export interface NodeProcessInfo {
  readonly id: ProcessId;
  readonly kind: ProcessKind;
}

/** The living processes of the node whose own process is `pid`; empty when it is gone. */
export function nodeProcesses(pid: number): readonly NodeProcessInfo[] {
  return processTree(pid).map((id) => ({ id, kind: id.pid === pid ? 'node' : kindOf(commandLine(id.pid)) }));
}

/** Anything that is none of ours is the user's program. */
export function kindOf(argv: readonly string[]): ProcessKind {
  const program = argv.find((argument) => /[\\/]main\.[jt]s$/.test(argument)) ?? '';
  if (/[\\/]election[\\/].*[\\/]warden[\\/]/.test(program)) return 'warden';
  return /[\\/]sqlite[\\/].*[\\/]process[\\/]/.test(program) ? 'database' : 'backend';
}

/** Empty when the process is gone. */
export function commandLine(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}
