/**
 * A child process that can't outlive this one. It runs in a session of its own (a ctrl-C at the terminal reaches only
 * us) under a guard: a shell that reads from a pipe which we hold, and kills the child's whole process group when the
 * pipe ends without a word. The kernel closes the pipe however we die, SIGKILL included, and the guard exists before the
 * child does, so there is no moment in which the child could be left alone.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Writable } from 'node:stream';

/** The shell becomes the command (`exec`), so the child's pid is the command's own. */
const GUARD = '(read -r _ <&3 || kill -s KILL -- -$$) >/dev/null 2>&1 & exec "$@" 3<&-';

export interface ProcessExit {
  readonly code: number | undefined;
  readonly signal: string | undefined;
}

export interface HeldProcess {
  readonly pid: number;
  readonly child: ChildProcess;
  /** Resolves when the process has ended; never rejects. */
  readonly exited: Promise<ProcessExit>;
  exit(): ProcessExit | undefined;
}

export interface HeldOptions {
  readonly cwd?: string;
  readonly environment: Readonly<Record<string, string>>;
  /** A file descriptor that takes the output, or `pipe`. */
  readonly output: number | 'pipe';
}

/** Starts the command. Rejects only when no process could be made; a missing command ends with code 127. */
export async function spawnHeld(command: string, args: readonly string[], options: HeldOptions): Promise<HeldProcess> {
  const child = spawn('/bin/sh', ['-c', GUARD, 'held', command, ...args], {
    cwd: options.cwd ?? '/',
    env: options.environment,
    detached: true,
    stdio: ['ignore', options.output, options.output, 'pipe'],
  });
  const guard = child.stdio[3] as Writable;
  guard.on('error', () => {});
  let exit: ProcessExit | undefined;
  const exited = new Promise<ProcessExit>((resolve) => {
    child.once('exit', (code, signal) => {
      exit = { code: code ?? undefined, signal: signal ?? undefined };
      // A word on the pipe sends the guard home; the pid may belong to somebody else from now on.
      guard.end('\n');
      resolve(exit);
    });
  });
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  child.on('error', () => {});
  return { pid: child.pid as number, child, exited, exit: () => exit };
}

/** Signals exactly this process, if it still runs. Returns whether it did. */
export function signalHeld(held: HeldProcess, signal: NodeJS.Signals): boolean {
  return held.exit() === undefined && held.child.kill(signal);
}
