/**
 * Directories for one test. They are removed at their disposal, and by a keeper process when this process dies before:
 * the keeper holds a pipe from us and outlives a ctrl-C and a SIGKILL by the moment that the removal takes.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface TemporaryDirectory extends AsyncDisposable {
  readonly path: string;
  /** Removes it with all that is in it. Idempotent. */
  remove(): Promise<void>;
}

/** A new empty directory below the system's temporary directory. */
export async function temporaryDirectory(label = 'test'): Promise<TemporaryDirectory> {
  const path = join(tmpdir(), `canopy-${label}-${randomUUID()}`);
  removeAtDeath(path);
  await mkdir(path, { mode: 0o700 });
  // Something that is being ended may still write for a moment, hence the retries.
  const remove = (): Promise<void> => rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  return { path, remove, [Symbol.asyncDispose]: remove };
}

/** Names are random and never used again, so removing one twice is harmless. */
const KEEPER = 'while read -r path; do set -- "$@" "$path"; done; sleep 0.2; rm -rf -- "$@"; sleep 1; rm -rf -- "$@"';

let keeper: ChildProcess | undefined;

function removeAtDeath(path: string): void {
  if (keeper === undefined) {
    keeper = spawn('/bin/sh', ['-c', KEEPER, 'keeper'], {
      detached: true,
      cwd: '/',
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    keeper.on('error', () => {});
    keeper.stdin?.on('error', () => {});
    keeper.unref();
    (keeper.stdin as Socket).unref();
  }
  keeper.stdin?.write(`${path}\n`);
}
