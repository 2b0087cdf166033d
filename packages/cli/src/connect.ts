/**
 * Which cluster a verb talks to. Strong to weak: --server/--platform, --config, NATS_URL/PLATFORM, a `canopy up` running in
 * --dir. Opens one connection, runs the verb's work under the timeout, and closes it.
 */
import { type ConnectionSpec, systemEnv } from '@canopy/core';
import { connectNats } from '@canopy/nats';
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
  const { environment } = options;
  const configured = options.config === undefined ? undefined : planNode(loadConfig(options.config), 'cli');
  const servers = options.server ?? (configured === undefined ? environment.NATS_URL : undefined);
  const running =
    configured === undefined && servers === undefined ? readClusterFile(options.dir ?? '.canopy') : undefined;
  const known = configured ?? running;
  const connection =
    servers === undefined ? known?.connection : { servers: servers.split(',').map((url) => url.trim()) };
  const platform = options.platform ?? known?.platform ?? environment.PLATFORM;
  if (connection === undefined) throw cliErrors.create('CLUSTER_UNKNOWN', { problem: 'no NATS server is named' });
  if (platform === undefined) throw cliErrors.create('CLUSTER_UNKNOWN', { problem: 'no platform is named' });
  return { platform, connection };
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
