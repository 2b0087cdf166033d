/** Builds a small Go program of the tests, where a Go toolchain is and its modules can be had; else says why not. */
import { execFile } from 'node:child_process';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

export type Built = { readonly binary: string } | { readonly binary: undefined; readonly reason: string };

/** `modules` are added in their latest versions before the build. Everything but Go's own caches is in `workspace`. */
export async function buildGoProgram(
  name: 'peer' | 'published',
  workspace: string,
  modules: readonly string[] = [],
): Promise<Built> {
  const cwd = join(workspace, name);
  const options = { cwd, timeout: 50_000, env: { ...process.env, GOFLAGS: '-mod=mod', GOTOOLCHAIN: 'local' } };
  try {
    await run('go', ['version'], { timeout: 10_000 });
  } catch {
    return { binary: undefined, reason: 'there is no Go toolchain on PATH' };
  }
  try {
    await cp(fileURLToPath(new URL(`./${name}`, import.meta.url)), cwd, { recursive: true });
    if (modules.length > 0) await run('go', ['get', ...modules], options);
    await run('go', ['build', '-o', 'program', '.'], options);
    return { binary: join(cwd, 'program') };
  } catch (error) {
    const said = String((error as { stderr?: string }).stderr ?? error).trim();
    return { binary: undefined, reason: `the Go program "${name}" cannot be built here: ${said.slice(-300)}` };
  }
}
