/**
 * Litestream itself, built with Go into the user's cache: the oldest kind that is still about (pages as LZ4 frames only)
 * and a present one (LZ4 blocks). Pinned versions; Go's own checksum database vouches for what is built. A binary gets its
 * name by a rename once it is complete, so it is built once per machine, and two builds at a time do no harm.
 */
import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { makeDirectory } from '@canopy/core';

/** `frame`: writes and reads LZ4 frames only. `block`: writes LZ4 blocks, reads both. */
export const VERSIONS = { frame: 'v0.5.15', block: 'v0.5.18' } as const;
export type Generation = keyof typeof VERSIONS;

/** A first build fetches about 100 modules and compiles them. */
export const BUILD_TIMEOUT_MS = 300_000;

export interface LitestreamBinaries {
  readonly paths: ReadonlyMap<Generation, string>;
  /** Why those that are missing are missing, as a sentence. */
  readonly missing: ReadonlyMap<Generation, string>;
}

/** Finds or builds both, one after the other; never throws. At most BUILD_TIMEOUT_MS for each. */
export async function litestreamBinaries(): Promise<LitestreamBinaries> {
  const paths = new Map<Generation, string>();
  const missing = new Map<Generation, string>();
  for (const generation of Object.keys(VERSIONS) as Generation[]) {
    try {
      paths.set(generation, await binaryOf(VERSIONS[generation]));
    } catch (error) {
      missing.set(generation, (error as Error).message);
    }
  }
  return { paths, missing };
}

async function binaryOf(version: string): Promise<string> {
  const cache = cacheDirectory();
  const path = join(cache, `litestream-${version}-${process.platform}-${process.arch}`);
  if (existsSync(path)) {
    accessSync(path, constants.X_OK);
    return path;
  }
  const work = mkdtempSync(join(cache, '.work-litestream-'));
  try {
    await build(version, work);
    renameSync(join(work, 'litestream'), path);
    return path;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function build(version: string, into: string): Promise<void> {
  // No C compiler, no other toolchain than the one that is there, nothing of a workspace around us.
  const settings = { CGO_ENABLED: '0', GOTOOLCHAIN: 'local', GOWORK: 'off', GOFLAGS: '', GOBIN: into };
  const what = `github.com/benbjohnson/litestream/cmd/litestream@${version}`;
  try {
    await promisify(execFile)('go', ['install', what], {
      cwd: into,
      env: { ...process.env, ...settings },
      timeout: BUILD_TIMEOUT_MS,
      killSignal: 'SIGTERM',
    });
  } catch (error) {
    throw new Error(`litestream ${version} can't be built here: ${reasonOf(error)}`);
  }
}

function reasonOf(error: unknown): string {
  const { code, killed, stderr, message } = error as {
    code?: unknown;
    killed?: boolean;
    stderr?: string;
    message: string;
  };
  if (code === 'ENOENT') return 'there is no Go on this machine';
  if (killed) return `go took more than ${BUILD_TIMEOUT_MS / 1000} s`;
  const said = (stderr ?? '').split('\n').filter((line) => line !== '' && !line.startsWith('go: downloading'));
  return said.at(-1) ?? message;
}

/** The same as nats-servers are kept in: XDG_CACHE_HOME, else ~/.cache, else one of this user below TMPDIR. */
export function cacheDirectory(): string {
  const { XDG_CACHE_HOME: xdg, HOME: home } = process.env;
  const own = join(tmpdir(), `canopy-cache-${process.getuid?.() ?? 'user'}`);
  const directory = xdg?.startsWith('/')
    ? join(xdg, 'canopy')
    : home?.startsWith('/')
      ? join(home, '.cache/canopy')
      : own;
  makeDirectory(directory);
  return directory;
}
