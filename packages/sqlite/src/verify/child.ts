/** The process that proves a restore, as the database process sees it: one per proof, ended with the signal. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { sqliteErrors } from '../errors.ts';
import { type DatabaseSpec, decodeError, type ErrorMessage } from '../process/protocol.ts';
import type { Proof } from './scratch-restore.ts';

/** Beside us, as source or as built. */
const EXTENSION = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const PROGRAM = fileURLToPath(new URL(`./program.${EXTENSION}`, import.meta.url));
const NODE_FLAGS = ['--max-semi-space-size=2', '--max-old-space-size=128', '--single-threaded-gc', '--v8-pool-size=1'];

export interface ToProver {
  readonly spec: DatabaseSpec;
  readonly scratch: string;
}

export type FromProver =
  | { readonly type: 'proof'; readonly proof: Proof }
  | { readonly type: 'error'; readonly error: ErrorMessage };

/** Resolves with the proof; rejects with what proveRestore threw, or SQLITE_VERIFY_FAILED when the process died. */
export async function proveInChild(order: ToProver, signal: AbortSignal): Promise<Proof> {
  signal.throwIfAborted();
  // A group of its own: nobody who waits for the database process's group waits for a check that takes minutes.
  const child = spawn(process.execPath, [...NODE_FLAGS, PROGRAM], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    detached: true,
    serialization: 'advanced',
  });
  const { promise, resolve, reject } = Promise.withResolvers<Proof>();
  const abort = (): void => {
    child.kill('SIGKILL');
    reject(signal.reason);
  };
  signal.addEventListener('abort', abort, { once: true });
  const died = (how: string): Error =>
    sqliteErrors.create('SQLITE_PROCESS_DIED', { path: order.scratch, how: `proving a restore: ${how}` });
  child.on('message', (message) => {
    const answer = message as FromProver;
    if (answer.type === 'proof') resolve(answer.proof);
    else reject(decodeError(answer.error));
  });
  child.on('error', (error) => reject(died(error.message)));
  child.on('exit', (code, by) => reject(died(by ?? `exit ${code}`)));
  child.send(order, () => {});
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', abort);
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  }
}
