/**
 * Finds a nats-server that will do, in this order: CANOPY_NATS_SERVER, PATH, our cache; else gets one into the cache.
 * What the user names is never passed over in silence: a CANOPY_NATS_SERVER that can't be used is an error.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Env, resolveOptions, systemEnv } from '@canopy/core';
import { natsErrors } from '../../errors.ts';
import { childEnvironment, type Environment, processEnvironment, searchPath } from '../environment.ts';
import type { AttemptResult } from './attempt.ts';
import { cacheCandidates, cachedBinary, installBinary, isExecutable, writableCache } from './cache.ts';
import { DEBIAN_SUITES, fromDebian } from './debian.ts';
import type { OnProgress, ProvisionSource } from './progress.ts';
import { fromRelease, NATS_RELEASE, type ReleaseLocation } from './release.ts';
import { formatVersion, isSufficient, MINIMUM, readVersion, type ServerVersion } from './version.ts';
import { inWorkspace } from './workspace.ts';

export interface FindNatsServerOptions {
  /** Where CANOPY_NATS_SERVER, PATH, XDG_CACHE_HOME, HOME and TMPDIR are read; default: this process's environment. */
  readonly environment?: Environment;
  /** Default true: fetch a server when none is found. */
  readonly provision?: boolean;
  /** Default: $XDG_CACHE_HOME/canopy, ~/.cache/canopy, or a directory of this user below the temporary directory. */
  readonly cacheDir?: string;
  /** Notices and download progress; must not throw. */
  readonly onProgress?: OnProgress;
  /** Where the NATS project's release is looked for; `false` goes to Debian's package at once. */
  readonly release?: ReleaseLocation | false;
  /** Debian suites to try, in this order; empty for none. Default: sid, trixie. */
  readonly debianSuites?: readonly string[];
  readonly signal?: AbortSignal | undefined;
  readonly env?: Env;
}

export interface NatsServerBinary {
  readonly path: string;
  readonly version: string;
  readonly source: 'environment' | 'path' | 'cache' | ProvisionSource;
}

/**
 * A nats-server of version 2.10 or newer. Milliseconds when one is there; a first provisioning takes seconds. Concurrent
 * callers don't collide. Errors: NATS_SERVER_MISSING (with every way that was tried), NATS_SERVER_TOO_OLD (only for the
 * one that CANOPY_NATS_SERVER names).
 */
export async function findNatsServer(options: FindNatsServerOptions = {}): Promise<NatsServerBinary> {
  const search = resolveOptions('findNatsServer', options, (read) => ({
    environment: read.any<Environment>('environment') ?? processEnvironment(),
    provision: read.boolean('provision', { default: true }),
    cacheDir: read.optionalString('cacheDir'),
    onProgress: read.any<OnProgress>('onProgress', { default: () => {} }),
    release: read.any<ReleaseLocation | false>('release', { default: NATS_RELEASE }),
    debianSuites: read.any<readonly string[]>('debianSuites', { default: DEBIAN_SUITES }),
    signal: read.any<AbortSignal | undefined>('signal'),
    env: read.any<Env>('env') ?? systemEnv(),
  }));
  return new Search(search).run();
}

interface ResolvedSearch {
  readonly environment: Environment;
  readonly provision: boolean;
  readonly cacheDir: string | undefined;
  readonly onProgress: OnProgress;
  readonly release: ReleaseLocation | false;
  readonly debianSuites: readonly string[];
  readonly signal: AbortSignal | undefined;
  readonly env: Env;
}

class Search {
  readonly #options: ResolvedSearch;

  constructor(options: ResolvedSearch) {
    this.#options = options;
  }

  async run(): Promise<NatsServerBinary> {
    const { environment, cacheDir } = this.#options;
    const found = (await this.#named()) ?? (await this.#onPath());
    if (found !== undefined) return found;
    const candidates = cacheDir === undefined ? cacheCandidates(environment) : [cacheDir];
    for (const directory of candidates) {
      const cached = await cachedBinary(directory);
      if (cached !== undefined) return { path: cached.path, version: formatVersion(cached.version), source: 'cache' };
    }
    if (!this.#options.provision) throw this.#missing('getting one was not asked for');
    const cache = await writableCache(candidates);
    if ('problem' in cache) throw this.#missing(cache.problem);
    return this.#provision(cache.directory);
  }

  async #named(): Promise<NatsServerBinary | undefined> {
    const path = this.#options.environment.CANOPY_NATS_SERVER;
    if (path === undefined || path === '') return undefined;
    const version = (await isExecutable(path)) ? await this.#version(path) : undefined;
    if (version === undefined)
      throw this.#missing(`CANOPY_NATS_SERVER names ${path}, which is not a nats-server that runs here`);
    if (!isSufficient(version))
      throw natsErrors.create('NATS_SERVER_TOO_OLD', { version: formatVersion(version), path });
    return { path, version: formatVersion(version), source: 'environment' };
  }

  async #onPath(): Promise<NatsServerBinary | undefined> {
    for (const directory of searchPath(this.#options.environment)) {
      const path = join(directory, 'nats-server');
      if (!(await isExecutable(path))) continue;
      const version = await this.#version(path);
      if (version !== undefined && isSufficient(version))
        return { path, version: formatVersion(version), source: 'path' };
      const reason =
        version === undefined
          ? 'it does not run here'
          : `version ${formatVersion(version)} is older than ${MINIMUM.major}.${MINIMUM.minor}`;
      this.#options.onProgress({ type: 'passed_over', path, reason });
    }
    return undefined;
  }

  async #provision(directory: string): Promise<NatsServerBinary> {
    const { env, environment, onProgress, signal, release, debianSuites } = this.#options;
    const startedAt = env.clock.monotonic();
    const problems: string[] = [];
    const attempts: { source: ProvisionSource; run: (workspace: string) => Promise<AttemptResult> }[] = [];
    const context = { env, environment, onProgress, signal };
    if (release !== false)
      attempts.push({ source: 'release', run: (workspace) => fromRelease(release, { ...context, workspace }) });
    for (const suite of debianSuites)
      attempts.push({ source: 'debian', run: (workspace) => fromDebian(suite, { ...context, workspace }) });

    const installed = await inWorkspace(directory, async (workspace) => {
      for (const [index, attempt] of attempts.entries()) {
        signal?.throwIfAborted();
        const own = join(workspace, String(index));
        await mkdir(own);
        const result = await this.#install(directory, await attempt.run(own));
        if ('path' in result) return { ...result, source: attempt.source };
        if (!problems.includes(result.problem)) {
          problems.push(result.problem);
          onProgress({ type: 'attempt_failed', source: attempt.source, reason: result.problem });
        }
      }
      return undefined;
    });
    if (installed === undefined) throw this.#missing(problems.join('; ') || 'no way to get one is allowed');
    const version = formatVersion(installed.version);
    onProgress({ type: 'installed', path: installed.path, version, ms: env.clock.monotonic() - startedAt });
    return { path: installed.path, version, source: installed.source };
  }

  /** Only a binary that has told its version from this machine gets into the cache. */
  async #install(
    directory: string,
    result: AttemptResult,
  ): Promise<{ readonly path: string; readonly version: ServerVersion } | { readonly problem: string }> {
    if ('problem' in result) return result;
    const version = (await isExecutable(result.binary)) ? await this.#version(result.binary) : undefined;
    if (version === undefined) return { problem: 'the fetched nats-server does not run here' };
    if (!isSufficient(version)) return { problem: `the fetched nats-server is only ${formatVersion(version)}` };
    return { path: await installBinary(directory, result.binary, version), version };
  }

  #version(path: string): Promise<ServerVersion | undefined> {
    const { env, environment, signal } = this.#options;
    return readVersion(path, { clock: env.clock, environment: childEnvironment(environment), signal });
  }

  #missing(reason: string): Error {
    return natsErrors.create('NATS_SERVER_MISSING', { reason });
  }
}
