/**
 * A file system that is full soon: a small tmpfs in a directory of its own, not propagated to other mount namespaces.
 * It is unmounted at disposal, and by a keeper when this process dies before. Needs root.
 */
import { execFileSync, spawn } from 'node:child_process';
import { canMountTmpfs } from './skip-reason.ts';
import { temporaryDirectory } from './temporary-directory.ts';

export interface TinyFilesystem extends AsyncDisposable {
  readonly path: string;
  readonly sizeBytes: number;
}

const KEEPER = 'read -r _; umount -l -- "$1"';

/** The mounted file system, or the reason why this machine can't have one. */
export async function tinyFilesystem(
  sizeBytes: number,
): Promise<TinyFilesystem | { readonly path: undefined; readonly reason: string }> {
  const reason = canMountTmpfs();
  if (reason !== undefined) return { path: undefined, reason };
  const directory = await temporaryDirectory('tmpfs');
  const { path } = directory;
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes},mode=700`, 'canopy-test', path]);
  const keeper = spawn('/bin/sh', ['-c', KEEPER, 'keeper', path], {
    detached: true,
    cwd: '/',
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  keeper.on('error', () => {});
  keeper.stdin.on('error', () => {});
  execFileSync('mount', ['--make-private', path]);
  let disposed: Promise<void> | undefined;
  const dispose = async (): Promise<void> => {
    const ended = new Promise<void>((resolve) => keeper.once('exit', () => resolve()));
    keeper.stdin.end('\n');
    await ended;
    await directory.remove();
  };
  return {
    path,
    sizeBytes,
    [Symbol.asyncDispose]() {
      disposed ??= dispose();
      return disposed;
    },
  };
}
