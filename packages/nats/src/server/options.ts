/** What a server is launched with, and the defaults. */
import { randomUUID } from 'node:crypto';
import { join, resolve } from 'node:path';
import { type Duration, type Env, resolveOptions, systemEnv } from '@canopy/core';
import { type Environment, processEnvironment } from './environment.ts';
import type { FindNatsServerOptions } from './find/find.ts';
import type { OnProgress } from './find/progress.ts';
import type { ServerAuth } from './server-config.ts';

export interface NatsServerOptions {
  /** Config, log and JetStream's data go here; made when missing. One server at a time. */
  readonly dataDir: string;
  /** Path of nats-server. Default: what findNatsServer gives, provisioning included. */
  readonly binary?: string;
  /** Default 0: a free one, kept over restarts. */
  readonly port?: number;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** The server's name in NATS; unique in a cluster. Default: `canopy-` and eight random digits. */
  readonly name?: string;
  /** Default false: no HTTP monitoring endpoint. */
  readonly monitor?: boolean;
  /** Default: `nats-server.log` in the data directory. */
  readonly logFile?: string;
  /** Default: none, anyone who reaches the port may connect. */
  readonly auth?: ServerAuth;
  /** Default true. */
  readonly jetstream?: boolean;
  /** Default true: an acknowledged write is on the disk, not just in the page cache. */
  readonly syncAlways?: boolean;
  /** How long the start may take, JetStream's recovery included. Default 30 s. */
  readonly timeoutMs?: Duration;
  /** Membership of a cluster; NatsCluster sets it. */
  readonly cluster?: ClusterMembership;
  /** Aborts a start; what was begun is undone. */
  readonly signal?: AbortSignal | undefined;
  /** Progress of provisioning, when no server is on this machine. */
  readonly onProgress?: OnProgress;
  /** Default: this process's environment. */
  readonly environment?: Environment;
  readonly env?: Env;
}

export interface ClusterMembership {
  readonly name: string;
  readonly port: number;
  /** `nats://host:port` of every member's cluster port. */
  readonly routes: readonly string[];
}

export interface ResolvedServerOptions {
  readonly dataDir: string;
  readonly binary: string | undefined;
  readonly port: number;
  readonly host: string;
  readonly name: string;
  readonly monitor: boolean;
  readonly logFile: string;
  readonly auth: ServerAuth | undefined;
  readonly jetstream: boolean;
  readonly syncAlways: boolean;
  readonly timeoutMs: number;
  readonly cluster: ClusterMembership | undefined;
  readonly signal: AbortSignal | undefined;
  readonly environment: Environment;
  readonly env: Env;
  /** For the search when no binary was named. */
  readonly find: FindNatsServerOptions;
}

export function resolveServerOptions(options: NatsServerOptions): ResolvedServerOptions {
  return resolveOptions('nats-server', options, (read) => {
    const dataDir = resolve(read.string('dataDir', { required: true }));
    const environment = read.any<Environment>('environment') ?? processEnvironment();
    const env = read.any<Env>('env') ?? systemEnv();
    const signal = read.any<AbortSignal | undefined>('signal');
    const onProgress = read.any<OnProgress>('onProgress', { default: () => {} });
    const logFile = read.optionalString('logFile');
    return {
      dataDir,
      binary: read.optionalString('binary'),
      port: read.integer('port', { default: 0, min: 0, max: 65_535 }),
      host: read.string('host', { default: '127.0.0.1' }),
      name: read.string('name', {
        default: `canopy-${randomUUID().slice(0, 8)}`,
        pattern: /^[\w.-]+$/,
        patternHelp: 'must consist of letters, digits, ".", "_" and "-"',
      }),
      monitor: read.boolean('monitor', { default: false }),
      logFile: logFile === undefined ? join(dataDir, 'nats-server.log') : resolve(logFile),
      auth: read.any<ServerAuth | undefined>('auth'),
      jetstream: read.boolean('jetstream', { default: true }),
      syncAlways: read.boolean('syncAlways', { default: true }),
      timeoutMs: read.durationMs('timeoutMs', { default: 30_000, minMs: 1 }),
      cluster: read.any<ClusterMembership | undefined>('cluster'),
      signal,
      environment,
      env,
      find: { environment, env, onProgress, signal },
    };
  });
}
