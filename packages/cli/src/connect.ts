/**
 * Which cluster a verb talks to. Strong to weak: --server/--platform, --config, NATS_URL/PLATFORM, a `canopy up` running in
 * --dir. Opens one connection, runs the verb's work under the timeout, and closes it.
 */
import { resolve } from 'node:path';
import { CanopyError, type ConnectionSpec, systemEnv } from '@canopy/core';
import { connectNats, type NatsSession } from '@canopy/nats';
import { ControlClient } from '@canopy/platform';
import { DEFAULT_DIRECTORY, readClusterFile } from './cluster/cluster-file.ts';
import { diskSpace } from './cluster/disk-space.ts';
import { planNode } from './config/build.ts';
import { loadConfig } from './config/load.ts';
import { cliErrors } from './errors.ts';
import { formatBytes } from './output/bytes.ts';

/** Codes that begin so may come from a full disk of the NATS server. */
const SYMPTOMS = ['NATS_', 'JETSTREAM_', 'KV_', 'BLOB_', 'BUS_', 'NODE_', 'DEADLINE_'];

export interface ClusterOptions {
  readonly server?: string | undefined;
  readonly platform?: string | undefined;
  readonly config?: string | undefined;
  readonly dir?: string | undefined;
  readonly timeoutMs: number;
  /** It was named, and is not the default. */
  readonly isTimeoutGiven?: boolean;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Ends connecting; what is done on the connection has to hear it itself. */
  readonly signal?: AbortSignal | undefined;
}

export interface ClusterAddress {
  readonly platform: string;
  readonly connection: ConnectionSpec;
  /** Of the `canopy up` on this machine that the cluster belongs to. */
  readonly directory?: string | undefined;
}

export function findCluster(options: ClusterOptions): ClusterAddress {
  const { known, connection, directory } = find(options);
  const platform = options.platform ?? known?.platform ?? options.environment.PLATFORM;
  if (platform === undefined) throw cliErrors.create('CLUSTER_UNKNOWN', { problem: 'no platform is named' });
  return { platform, connection, directory };
}

/** As `findCluster`, for verbs that need no platform. */
export function findConnection(options: Omit<ClusterOptions, 'platform'>): ConnectionSpec {
  return find(options).connection;
}

function find(options: ClusterOptions): {
  known: Partial<ClusterAddress> | undefined;
  connection: ConnectionSpec;
  directory: string | undefined;
} {
  const { environment } = options;
  const configured = options.config === undefined ? undefined : planNode(loadConfig(options.config), 'cli');
  const servers = options.server ?? (configured === undefined ? environment.NATS_URL : undefined);
  const directory = options.dir ?? DEFAULT_DIRECTORY;
  const running = configured === undefined && servers === undefined ? readClusterFile(directory) : undefined;
  const known = configured ?? running;
  const connection =
    servers === undefined ? known?.connection : { servers: servers.split(',').map((url) => url.trim()) };
  if (connection === undefined)
    throw cliErrors.create('CLUSTER_UNKNOWN', {
      problem: `no NATS server is named, and no canopy up runs in ${resolve(directory)}`,
    });
  return { known, connection, directory: running === undefined ? undefined : resolve(directory) };
}

/** Runs `work` with a control client; the connection is closed afterwards whatever happens. */
export async function withCluster<T>(
  options: ClusterOptions,
  work: (client: ControlClient, address: ClusterAddress, session: NatsSession) => Promise<T>,
): Promise<T> {
  const address = findCluster(options);
  const env = systemEnv();
  try {
    const { timeoutMs, signal } = options;
    const session = await connectNats(address.connection, { name: 'canopy-cli', env, timeoutMs, signal });
    try {
      return await work(new ControlClient(session, address.platform), address, session);
    } finally {
      await session.close();
    }
  } catch (error) {
    throw fullDisk(address.directory, error) ?? error;
  }
}

/** A full disk shows in many ways, JetStream that is off among them: where it can be seen, it is the thing to tell. */
function fullDisk(directory: string | undefined, cause: unknown): Error | undefined {
  const code = CanopyError.is(cause) ? cause.code : '';
  const space = directory === undefined ? undefined : diskSpace(directory);
  if (space?.full !== true || !SYMPTOMS.some((start) => code.startsWith(start))) return undefined;
  const { freeBytes, totalBytes } = space;
  const [free, total] = [formatBytes(freeBytes), formatBytes(totalBytes)];
  return cliErrors.create('DISK_FULL', { directory, free, total }, cause);
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
