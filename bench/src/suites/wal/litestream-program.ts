/**
 * Litestream as a program beside us: found in the user's cache, where the tests put it, or built there with Go; and run as
 * the primary of a file with a NATS bucket as its replica.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { makeDirectory } from '@canopy/core';

const VERSION = 'v0.5.18';
const BUILD_MS = 300_000;
const RESTORE_MS = 120_000;
const run = promisify(execFile);

/** The binary's path, or why there is none. `mayBuild`: a first build fetches about 100 modules, and takes minutes. */
export async function findLitestream(mayBuild: boolean): Promise<{ path: string } | { reason: string }> {
  const cache = cacheDirectory();
  const path = join(cache, `litestream-${VERSION}-${process.platform}-${process.arch}`);
  if (existsSync(path)) return { path };
  if (!mayBuild) return { reason: `litestream ${VERSION} was not built yet` };
  const work = mkdtempSync(join(cache, '.work-litestream-'));
  try {
    const settings = { CGO_ENABLED: '0', GOTOOLCHAIN: 'local', GOWORK: 'off', GOFLAGS: '', GOBIN: work };
    const what = `github.com/benbjohnson/litestream/cmd/litestream@${VERSION}`;
    await run('go', ['install', what], { cwd: work, env: { ...process.env, ...settings }, timeout: BUILD_MS });
    renameSync(join(work, 'litestream'), path);
    return { path };
  } catch (error) {
    const said = String((error as { stderr?: string }).stderr ?? '').trim();
    return { reason: `litestream ${VERSION} can't be built: ${said.split('\n').at(-1) || String(error)}` };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

export interface LitestreamPlace {
  readonly binary: string;
  readonly directory: string;
  /** Database file. */
  readonly path: string;
  /** nats://host:port/bucket */
  readonly url: string;
  /** Go duration for both of its intervals; undefined: its defaults. */
  readonly interval: string | undefined;
}

export class Litestream implements AsyncDisposable {
  readonly #place: LitestreamPlace;
  readonly #config: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  constructor(place: LitestreamPlace) {
    this.#place = place;
    this.#config = join(place.directory, `litestream-${place.interval ?? 'default'}.yml`);
    const monitor = place.interval === undefined ? [] : [`    monitor-interval: ${place.interval}`];
    const sync = place.interval === undefined ? '' : `, sync-interval: ${place.interval}`;
    const replica = `    replica: { type: nats, url: '${place.url}'${sync} }`;
    writeFileSync(this.#config, ['dbs:', `  - path: ${place.path}`, ...monitor, replica, ''].join('\n'));
    this.#child = spawn(place.binary, ['replicate', '-config', this.#config], { stdio: 'ignore' });
    this.#ended = new Promise((resolve) => {
      this.#child.once('exit', () => resolve());
      this.#child.once('error', () => resolve());
    });
  }

  /** To the end of its bucket, into a new file. */
  async restore(dest: string): Promise<void> {
    const args = ['restore', '-config', this.#config, '-o', dest, this.#place.path];
    await run(this.#place.binary, args, { timeout: RESTORE_MS });
  }

  /** In order: what is left is sent first. Killed where that takes too long. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGTERM');
    const bound = AbortSignal.timeout(10_000);
    bound.addEventListener('abort', () => this.#child.kill('SIGKILL'));
    await this.#ended;
  }
}

function cacheDirectory(): string {
  const { XDG_CACHE_HOME: xdg, HOME: home } = process.env;
  const base = xdg?.startsWith('/') ? xdg : home?.startsWith('/') ? join(home, '.cache') : tmpdir();
  const directory = join(base, 'canopy');
  makeDirectory(directory);
  return directory;
}
