/**
 * Builds a small Go program of the tests, where a Go toolchain is and its modules can be had; else says why not, in
 * bounded time. The modules are pinned by `go.mod` and `go.sum` beside the program, so what is tested is what is named there.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock } from '@canopy/core';
import { ChildNode } from '@canopy/testkit';

export type Built = { readonly binary: string } | { readonly binary: undefined; readonly reason: string };

export interface BuildBounds {
  /** On having the modules, from the cache of Go or over the network. Default 30 s. */
  readonly modulesMs?: number;
  /** On compiling, which an empty cache of Go makes long. Default 100 s. */
  readonly buildMs?: number;
  /** Added to the environment of `go`. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** Everything but Go's own caches is in `workspace`. Give a hook that awaits this 150 s. */
export async function buildGoProgram(
  name: 'peer' | 'published',
  workspace: string,
  { modulesMs = 30_000, buildMs = 100_000, environment = {} }: BuildBounds = {},
): Promise<Built> {
  const cwd = join(workspace, name);
  const env = { ...process.env, GOFLAGS: '-mod=readonly', GOTOOLCHAIN: 'local', ...environment };
  const missing = await failureOf(['version'], { cwd: workspace, env, boundMs: 10_000 });
  if (missing !== undefined) return { binary: undefined, reason: `no Go toolchain: ${missing}` };
  await cp(fileURLToPath(new URL(`./${name}`, import.meta.url)), cwd, { recursive: true });
  // Loads the modules that the program needs and no others; the build then has no need of the network.
  const absent = await failureOf(['list', '-deps', '.'], { cwd, env, boundMs: modulesMs });
  if (absent !== undefined) return { binary: undefined, reason: `the modules of "${name}" can't be had: ${absent}` };
  const offline = { ...env, GOPROXY: 'off' };
  const failed = await failureOf(['build', '-o', 'program', '.'], { cwd, env: offline, boundMs: buildMs });
  if (failed !== undefined) return { binary: undefined, reason: `"${name}" can't be built: ${failed}` };
  return { binary: join(cwd, 'program') };
}

interface Run {
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  readonly boundMs: number;
}

/** Runs `go`; undefined when it ended well, else why not. Past the bound it is killed with all that it started. */
async function failureOf(args: readonly string[], { cwd, env, boundMs }: Run): Promise<string | undefined> {
  const child = spawn('go', args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  try {
    await once(child, 'spawn');
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code ?? error);
  }
  await using running = new ChildNode(child);
  const given = new AbortController();
  const late = systemClock.sleep(boundMs, { signal: given.signal }).then(
    () => undefined,
    () => undefined,
  );
  const exit = await Promise.race([running.exited, late]);
  given.abort();
  if (exit === undefined) return `not done within ${boundMs / 1000} s`;
  return exit.code === 0 ? undefined : gistOf(running.lines);
}

/** The first line that is no progress: what follows repeats it for each package. */
function gistOf(lines: readonly string[]): string {
  const said = lines.find((line) => line.trim() !== '' && !/^go: (?:downloading|finding|found) |^# /.test(line));
  return (said ?? 'it said nothing').trim().slice(0, 240);
}
