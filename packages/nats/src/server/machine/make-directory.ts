/**
 * mkdir with parents that always ends: Node's own `recursive` never returns where a directory refuses children with
 * ENOENT although it exists, as procfs does.
 */
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Makes the directory and its missing parents, for this user only. What exists is left as it is. */
export async function makeDirectory(path: string): Promise<void> {
  const problem = await tryMake(path);
  if (problem === undefined) return;
  const parent = dirname(path);
  if (problem.code !== 'ENOENT' || parent === path) throw problem;
  await makeDirectory(parent);
  const second = await tryMake(path);
  if (second !== undefined) throw second;
}

async function tryMake(path: string): Promise<NodeJS.ErrnoException | undefined> {
  try {
    await mkdir(path, { mode: 0o700 });
    return undefined;
  } catch (error) {
    const problem = error as NodeJS.ErrnoException;
    if (problem.code === 'EEXIST' && (await stat(path)).isDirectory()) return undefined;
    return problem;
  }
}
