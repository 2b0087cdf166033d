/** From a checked configuration to what the platform is made of: absolute paths, filled placeholders, providers. */
import { isAbsolute, join, resolve } from 'node:path';
import { processBackend } from '@canopy/backends';
import type { BackendProvider, ConnectionSpec, DatabaseProvider, Env } from '@canopy/core';
import { Platform, type ProxyOptions, singleton } from '@canopy/platform';
import { sqlite } from '@canopy/sqlite';
import { cliErrors } from '../errors.ts';
import type { LoadedConfig } from './load.ts';
import { fillPlaceholders } from './placeholders.ts';
import type { AppConfig, Config } from './schema.ts';

/** Everything `canopy run` needs to know, with no field left to guess. */
export interface NodePlan {
  readonly platform: string;
  readonly node: string;
  readonly connection: ConnectionSpec;
  readonly dataDir: string;
  readonly config: Config;
  readonly directory: string;
}

export function planNode(loaded: LoadedConfig, host: string): NodePlan {
  const { config, directory, file } = loaded;
  const servers = config.nats?.servers;
  if (servers === undefined) {
    throw cliErrors.create('CONFIG_INVALID', {
      file,
      count: 1,
      list: '  nats.servers: is missing; name the NATS servers here, with --server, or in NATS_URL',
    });
  }
  return {
    platform: config.platform,
    node: config.node ?? host,
    connection: connectionOf(config, servers, directory),
    dataDir: resolve(directory, config.dataDir ?? 'data'),
    config,
    directory,
  };
}

function connectionOf(config: Config, servers: readonly string[], directory: string): ConnectionSpec {
  const { credentials, tls, ...rest } = config.nats ?? {};
  const path = (file: string | undefined): string | undefined =>
    file === undefined ? undefined : resolve(directory, file);
  const tlsPaths = Object.entries(tls ?? {}).map(([key, file]) => [key, path(file)]);
  return {
    ...defined(rest),
    servers,
    ...(credentials === undefined ? {} : { credentials: resolve(directory, credentials) }),
    ...(tls === undefined ? {} : { tls: Object.fromEntries(tlsPaths) }),
  };
}

/** The platform of this node with its apps, not started. */
export function buildPlatform(plan: NodePlan, env: Env): Platform {
  const { config } = plan;
  const platform = new Platform(
    defined({
      name: plan.platform,
      node: plan.node,
      connection: plan.connection,
      dataDir: plan.dataDir,
      address: config.address,
      labels: config.labels,
      ttl: config.ttl,
      http: config.http === undefined ? undefined : splitListen(config.http.listen),
    }),
    env,
  );
  for (const [name, app] of Object.entries(config.apps ?? {})) addApp(platform, plan, name, app);
  return platform;
}

function addApp(platform: Platform, plan: NodePlan, name: string, template: AppConfig): void {
  const databasePath = template.database === undefined ? undefined : atPath(plan.dataDir, template.database.path);
  const known: Readonly<Record<string, string | undefined>> = {
    node: plan.node,
    dataDir: plan.dataDir,
    ...(databasePath === undefined ? {} : { db: databasePath }),
  };
  const app = fillPlaceholders(template, (key) => known[key]);
  platform.app(
    name,
    defined({
      mode: singleton(),
      database: databaseOf(app, databasePath),
      backend: backendOf(app, plan),
      proxy: app.proxy === undefined ? undefined : (defined(app.proxy) as ProxyOptions),
      election: defined({ ttl: app.ttl, heartbeatInterval: app.heartbeatInterval }),
    }),
  );
}

function databaseOf(app: AppConfig, path: string | undefined): DatabaseProvider | undefined {
  if (app.database === undefined || path === undefined) return undefined;
  const { kind: _kind, path: _path, ...options } = app.database;
  return sqlite(path, defined(options));
}

function backendOf(app: AppConfig, plan: NodePlan): BackendProvider | undefined {
  if (app.backend === undefined) return undefined;
  const { kind: _kind, cwd, logFile, restart, health, ...options } = app.backend;
  return processBackend(
    defined({
      ...options,
      cwd: resolve(plan.directory, cwd ?? '.'),
      health: health === undefined ? undefined : defined(health),
      restart: restart === undefined ? undefined : defined(restart),
      log: logFile === undefined ? undefined : { file: atPath(plan.dataDir, logFile) },
    }),
  );
}

function atPath(base: string, path: string): string {
  return isAbsolute(path) ? path : join(base, path);
}

export function splitListen(listen: string): { host: string; port: number } {
  const colon = listen.lastIndexOf(':');
  return { host: listen.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(listen.slice(colon + 1)) };
}

/** Without the fields that are undefined, so that defaults apply. */
type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };
export function defined<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as Defined<T>;
}
