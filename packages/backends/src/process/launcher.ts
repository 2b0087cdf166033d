/**
 * Starts a program so that it can never outlive this process, even when the warden dies with it. A shell first leaves a
 * watcher in the group, waits for the word to go, and then becomes the program (same pid). The watcher sits on a pipe
 * whose other end only this process holds; its end-of-file is this process's death, and the watcher kills the group.
 *
 * - The watcher ignores every signal that a program may send to its own group; only SIGKILL ends it.
 * - It is orphaned at once (a fork inside a fork), so that a program that waits for all its children never waits for it.
 * - It holds no output pipe; the program holds neither of the two control pipes.
 * - End-of-file before the word: exit code 125, and the program was never run.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

const SIGNALS = 'HUP INT QUIT USR1 USR2 PIPE ALRM TERM TSTP TTIN TTOU';
const SCRIPT = `trap '' ${SIGNALS}
( ( read _ <&3; kill -9 0 ) </dev/null >/dev/null 2>&1 4<&- & )
trap - ${SIGNALS}
read go <&4 || exit 125
exec "$@" 3<&- 4<&-`;

export interface Launched {
  readonly process: ChildProcess;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Lets the program run. Until then only the shell exists. */
  go(): void;
}

export interface LaunchSpec {
  /** Full path and arguments. */
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

/** The process leads a group and a session of its own. Failures to spawn come as the process's `error` event. */
export function launch(spec: LaunchSpec): Launched {
  const child = start(spec, ['ignore', 'pipe', 'pipe']);
  return { process: child, stdout: child.stdout as Readable, stderr: child.stderr as Readable, go: goOf(child) };
}

/** As `launch`, with the input and outputs of this process. */
export function launchAttached(spec: LaunchSpec): Pick<Launched, 'process' | 'go'> {
  const child = start(spec, ['inherit', 'inherit', 'inherit']);
  return { process: child, go: goOf(child) };
}

function start(spec: LaunchSpec, stdio: readonly ('ignore' | 'pipe' | 'inherit')[]): ChildProcess {
  const child = spawn('/bin/sh', ['-c', SCRIPT, 'canopy-backend', ...spec.argv], {
    cwd: spec.cwd,
    env: spec.env,
    detached: true,
    stdio: [...stdio, 'pipe', 'pipe'],
  });
  for (const pipe of child.stdio.slice(3)) pipe?.on('error', () => {});
  return child;
}

function goOf(child: ChildProcess): () => void {
  const word = child.stdio[4] as Writable;
  return () => word.end('go\n');
}
