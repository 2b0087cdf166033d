/** Real nats-servers for tests, each in a temporary directory of its own. */
import {
  type FindNatsServerOptions,
  findNatsServer,
  NatsCluster,
  type NatsClusterOptions,
  NatsServer,
  type NatsServerOptions,
} from '@canopy/nats/server';
import { temporaryDirectory } from './temporary-directory.ts';

/** Registers something to be awaited when the test ends: vitest's `onTestFinished` or `afterAll` fits. */
export type OnCleanup = (dispose: () => Promise<void>) => unknown;

/** A server with its temporary directory; disposal stops the one and removes the other. */
export interface TestNatsServer extends AsyncDisposable {
  readonly server: NatsServer;
  readonly url: string;
  readonly connection: NatsServer['connection'];
}

export interface TestNatsCluster extends AsyncDisposable {
  readonly cluster: NatsCluster;
  readonly nodes: NatsCluster['nodes'];
  readonly connection: NatsCluster['connection'];
}

export type TestNatsServerOptions = Partial<NatsServerOptions> & { readonly onCleanup?: OnCleanup };
export type TestNatsClusterOptions = Partial<NatsClusterOptions> & { readonly onCleanup?: OnCleanup };

let found: Promise<string> | undefined;

/** The nats-server that tests use; searched (and provisioned, when missing) once per process. */
export function natsServerBinary(options: FindNatsServerOptions = {}): Promise<string> {
  found ??= findNatsServer(options).then(
    (binary) => binary.path,
    (error) => {
      found = undefined;
      throw error;
    },
  );
  return found;
}

/**
 * A single server on a free port, JetStream on, without fsync per write unless asked (`syncAlways: true`): tests kill
 * processes, not machines. Use it with `await using`, or give `onCleanup`.
 */
export async function testNatsServer(options: TestNatsServerOptions = {}): Promise<TestNatsServer> {
  const { onCleanup, ...given } = options;
  const { dataDir, dispose } = await place(given.dataDir, 'nats');
  try {
    const binary = given.binary ?? (await natsServerBinary());
    const server = await NatsServer.launch({ syncAlways: false, ...given, binary, dataDir });
    const end = dispose(() => server.stop());
    onCleanup?.(end);
    return { server, url: server.url, connection: server.connection, [Symbol.asyncDispose]: end };
  } catch (error) {
    await dispose(async () => {})();
    throw error;
  }
}

/** Three servers (or `size`) that form one cluster; takes a few seconds. */
export async function testNatsCluster(options: TestNatsClusterOptions = {}): Promise<TestNatsCluster> {
  const { onCleanup, ...given } = options;
  const { dataDir, dispose } = await place(given.dataDir, 'cluster');
  try {
    const binary = given.binary ?? (await natsServerBinary());
    const cluster = await NatsCluster.launch({ syncAlways: false, ...given, binary, dataDir });
    const end = dispose(() => cluster.stop());
    onCleanup?.(end);
    return { cluster, nodes: cluster.nodes, connection: cluster.connection, [Symbol.asyncDispose]: end };
  } catch (error) {
    await dispose(async () => {})();
    throw error;
  }
}

/** A directory that the caller named is left alone. */
async function place(
  dataDir: string | undefined,
  label: string,
): Promise<{ dataDir: string; dispose: (stop: () => Promise<void>) => () => Promise<void> }> {
  const directory = dataDir === undefined ? await temporaryDirectory(label) : undefined;
  return {
    dataDir: dataDir ?? (directory?.path as string),
    dispose: (stop) => async () => {
      await stop();
      await directory?.remove();
    },
  };
}
