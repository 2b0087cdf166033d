/**
 * mkdir with parents that always ends: Node's own `recursive` never returns where a directory refuses children with
 * ENOENT although it exists, as procfs does.
 */
import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Makes the directory and its missing parents, for this user only. What exists is left as it is. Throws the system's
 * error (EACCES, ENOTDIR, ENOSPC, EROFS…). Synchronous: it is a few system calls at a start.
 */
export function makeDirectory(path: string): void {
  const problem = tryMake(path);
  if (problem === undefined) return;
  const parent = dirname(path);
  if (problem.code !== 'ENOENT' || parent === path) throw problem;
  makeDirectory(parent);
  const second = tryMake(path);
  if (second !== undefined) throw second;
}

function tryMake(path: string): NodeJS.ErrnoException | undefined {
  try {
    mkdirSync(path, { mode: 0o700 });
    return undefined;
  } catch (error) {
    const problem = error as NodeJS.ErrnoException;
    if (problem.code === 'EEXIST' && statSync(path).isDirectory()) return undefined;
    return problem;
  }
}
