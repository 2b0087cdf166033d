/**
 * Which cluster a verb talks to. Strong to weak: --server/--platform, --config, NATS_URL/PLATFORM, a `canopy up` running in
 * --dir. Opens one connection, runs the verb's work under the timeout, and closes it.
 */
import { type ConnectionSpec, systemEnv } from '@canopy/core';
import { connectNats, type NatsSession } from '@canopy/nats';
import { ControlClient } from '@canopy/platform';
import { readClusterFile } from './cluster/cluster-file.ts';
import { planNode } from './config/build.ts';
import { loadConfig } from './config/load.ts';
import { cliErrors } from './errors.ts';

export interface ClusterOptions {
  readonly server?: string | undefined;
  readonly platform?: string | undefined;
  readonly config?: string | undefined;
  readonly dir?: string | undefined;
  readonly timeoutMs: number;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

export interface ClusterAddress {
  readonly platform: string;
  readonly connection: ConnectionSpec;
}

export function findCluster(options: ClusterOptions): ClusterAddress {
  const { known, connection } = find(options);
  const platform = options.platform ?? known?.platform ?? options.environment.PLATFORM;
  if (platform === undefined) throw cliErrors.create('CLUSTER_UNKNOWN', { problem: 'no platform is named' });
  return { platform, connection };
}

/** As `findCluster`, for verbs that need no platform. */
export function findConnection(options: Omit<ClusterOptions, 'platform'>): ConnectionSpec {
  return find(options).connection;
}

function find(options: ClusterOptions): { known: Partial<ClusterAddress> | undefined; connection: ConnectionSpec } {
  const { environment } = options;
  const configured = options.config === undefined ? undefined : planNode(loadConfig(options.config), 'cli');
  const servers = options.server ?? (configured === undefined ? environment.NATS_URL : undefined);
  const running =
    configured === undefined && servers === undefined ? readClusterFile(options.dir ?? '.canopy') : undefined;
  const known = configured ?? running;
  const connection =
    servers === undefined ? known?.connection : { servers: servers.split(',').map((url) => url.trim()) };
  if (connection === undefined) throw cliErrors.create('CLUSTER_UNKNOWN', { problem: 'no NATS server is named' });
  return { known, connection };
}

/** Runs `work` with a control client; the connection is closed afterwards whatever happens. */
export async function withCluster<T>(
  options: ClusterOptions,
  work: (client: ControlClient, address: ClusterAddress) => Promise<T>,
): Promise<T> {
  const address = findCluster(options);
  const env = systemEnv();
  const session = await connectNats(address.connection, { name: 'canopy-cli', env, timeoutMs: options.timeoutMs });
  try {
    return await work(new ControlClient(session, address.platform), address);
  } finally {
    await session.close();
  }
}

/** As `withCluster`, with the bare connection, for verbs that need no platform. */
export async function withSession<T>(
  options: Omit<ClusterOptions, 'platform'>,
  work: (session: NatsSession) => Promise<T>,
): Promise<T> {
  const { timeoutMs } = options;
  const session = await connectNats(findConnection(options), { name: 'canopy-cli', env: systemEnv(), timeoutMs });
  try {
    return await work(session);
  } finally {
    await session.close();
  }
}
