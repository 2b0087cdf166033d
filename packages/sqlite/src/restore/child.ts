/**
 * A restore in a process of its own, which ends with it: neither the application's event loop nor the process that ships
 * commits is kept busy by decoding and checking, and its memory is gone afterwards.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Position } from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import { type DatabaseSpec, decodeError, type ErrorMessage } from '../process/protocol.ts';
import type { RestoreOrder, RestoreReport } from './request.ts';

/** Beside us, as source or as built. */
const EXTENSION = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const PROGRAM = fileURLToPath(new URL(`./program.${EXTENSION}`, import.meta.url));
const NODE_FLAGS = ['--max-semi-space-size=2', '--max-old-space-size=128', '--single-threaded-gc', '--v8-pool-size=1'];

export interface ToRestorer {
  readonly spec: DatabaseSpec;
  readonly order: RestoreOrder;
}

/** What a restore has made. */
export interface RestoredFile {
  readonly dest: string;
  readonly position: Position;
  /** Unix ms of the last transaction in it, at its writer. */
  readonly timestamp: number;
  /** Of the file. */
  readonly sizeBytes: number;
  /** Read from the log, compressed. */
  readonly bytes: number;
  readonly ms: number;
}

export type FromRestorer =
  | { readonly type: 'progress'; readonly progress: RestoreReport }
  | { readonly type: 'restored'; readonly restored: RestoredFile }
  | { readonly type: 'error'; readonly error: ErrorMessage };

/** Rejects with what restore throws, SQLITE_PROCESS_DIED, or the signal's reason; then no file has appeared. */
export async function restoreInChild(
  order: ToRestorer,
  options: { readonly signal?: AbortSignal | undefined; readonly onProgress?: (progress: RestoreReport) => void },
): Promise<RestoredFile> {
  const { signal, onProgress } = options;
  signal?.throwIfAborted();
  const child = spawn(process.execPath, [...NODE_FLAGS, PROGRAM], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    detached: true,
    serialization: 'advanced',
  });
  const { promise, resolve, reject } = Promise.withResolvers<RestoredFile>();
  const ended = Promise.withResolvers<void>();
  const died = (how: string): Error =>
    sqliteErrors.create('SQLITE_PROCESS_DIED', { path: order.order.dest, how: `restoring: ${how}` });
  // It clears away what is half-done, then ends by itself.
  const abort = (): void => child.disconnect();
  signal?.addEventListener('abort', abort, { once: true });
  child.on('message', (message) => {
    const answer = message as FromRestorer;
    if (answer.type === 'progress') onProgress?.(answer.progress);
    else if (answer.type === 'restored') resolve(answer.restored);
    else reject(decodeError(answer.error));
  });
  child.on('error', (error) => {
    reject(died(error.message));
    ended.resolve();
  });
  child.on('exit', (code, by) => {
    reject(signal?.aborted ? signal.reason : died(by ?? `exit ${code}`));
    ended.resolve();
  });
  child.send(order, () => {});
  try {
    return await promise;
  } finally {
    signal?.removeEventListener('abort', abort);
    await ended.promise;
  }
}
