/**
 * Several nats-servers on this machine that form one JetStream cluster: for tests of what a cluster does, and for trying
 * Canopy on one. It is ready when a replicated stream could be made, which takes a leader and a quorum.
 */
import { randomUUID } from 'node:crypto';
import { join, resolve } from 'node:path';
import { type ConnectionSpec, type Duration, type Env, hasCode, resolveOptions, systemEnv } from '@canopy/core';
import { processEnvironment } from './environment.ts';
import { serverErrors } from './errors.ts';
import { findNatsServer } from './find/find.ts';
import { freePort, hostPort } from './machine/port.ts';
import { NatsServer } from './nats-server.ts';
import type { NatsServerOptions } from './options.ts';
import { replicationProblem } from './readiness.ts';

/** Tries with other ports when one of them was taken in the moment before a server bound it. */
const PORT_TRIES = 3;
const POLL_MS = 100;
/** NATS's own limit is five replicas; three are enough to prove a quorum. */
const REPLICAS_MAX = 3;

export interface NatsClusterOptions
  extends Pick<
    NatsServerOptions,
    'dataDir' | 'binary' | 'host' | 'auth' | 'monitor' | 'syncAlways' | 'signal' | 'onProgress' | 'environment' | 'env'
  > {
  /** Default 3, at least 2; an even number gives no more safety than the odd one below it. */
  readonly size?: number;
  /** The cluster's name; the servers are called `<name>-1` and so on. Default: `canopy` and eight random digits. */
  readonly name?: string;
  /** How long forming the cluster may take. Default 60 s. */
  readonly timeoutMs?: Duration;
}

interface ClusterShape {
  readonly size: number;
  readonly name: string;
  readonly timeoutMs: number;
}

export class NatsCluster implements AsyncDisposable {
  readonly name: string;
  readonly nodes: readonly NatsServer[];
  /** All servers; a client that is given this survives the loss of any one. */
  readonly connection: ConnectionSpec;
  readonly #env: Env;
  readonly #timeoutMs: number;

  private constructor(name: string, nodes: readonly NatsServer[], env: Env, timeoutMs: number) {
    this.name = name;
    this.nodes = nodes;
    const [first] = nodes as readonly [NatsServer, ...NatsServer[]];
    this.connection = { ...first.connection, servers: nodes.map((node) => node.url) };
    this.#env = env;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Node n keeps its data in `<dataDir>/n`. Nothing of the cluster runs after a failure. Errors: those of
   * NatsServer.launch, and NATS_CLUSTER_NOT_READY.
   */
  static async launch(options: NatsClusterOptions): Promise<NatsCluster> {
    const shape = resolveShape(options);
    const env = options.env ?? systemEnv();
    const binary = options.binary ?? (await findBinary(options, env));
    for (let tries = 1; ; tries++) {
      try {
        return await NatsCluster.#launchOnce({ ...options, ...shape, binary }, env);
      } catch (error) {
        if (tries === PORT_TRIES || !hasCode(error, 'PORT_TAKEN')) throw error;
      }
    }
  }

  static async #launchOnce(options: NatsClusterOptions & ClusterShape, env: Env): Promise<NatsCluster> {
    const { size, name, timeoutMs, ...shared } = options;
    const host = options.host ?? '127.0.0.1';
    const taken = new Set<number>();
    for (let n = 0; n < size; n++) taken.add(await freePort(env.random, { host, taken }));
    const ports = [...taken];
    const routes = ports.map((port) => `nats://${hostPort(host, port)}`);
    const launches = await Promise.allSettled(
      ports.map((port, n) =>
        NatsServer.launch({
          ...shared,
          env,
          timeoutMs,
          name: `${name}-${n + 1}`,
          dataDir: join(resolve(options.dataDir), String(n + 1)),
          cluster: { name, port, routes },
        }),
      ),
    );
    const nodes = launches.flatMap((launch) => (launch.status === 'fulfilled' ? [launch.value] : []));
    try {
      for (const launch of launches) if (launch.status === 'rejected') throw launch.reason;
      const cluster = new NatsCluster(name, nodes, env, timeoutMs);
      await cluster.ready({ signal: options.signal });
      return cluster;
    } catch (error) {
      await Promise.all(nodes.map((node) => node.stop()));
      throw error;
    }
  }

  /** Resolves when replicated streams can be made; after the loss of a node that takes seconds. NATS_CLUSTER_NOT_READY. */
  async ready(options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    const { clock } = this.#env;
    const giveUpAt = clock.monotonic() + this.#timeoutMs;
    // One name per call: a try whose answer got lost is found again by the next, instead of leaving a stream behind.
    const id = randomUUID().slice(0, 8);
    const alive = (): readonly NatsServer[] => this.nodes.filter((node) => node.state === 'running');
    for (;;) {
      options.signal?.throwIfAborted();
      const replicas = Math.min(this.nodes.length, REPLICAS_MAX, Math.max(1, alive().length));
      const connection = { ...this.connection, servers: alive().map((node) => node.url) };
      const stream = `CANOPY_READY_${id}_R${replicas}`;
      const reason = alive().length === 0 ? 'no node runs' : await replicationProblem(connection, replicas, stream);
      if (reason === undefined) return;
      if (clock.monotonic() > giveUpAt)
        throw serverErrors.create('NATS_CLUSTER_NOT_READY', {
          size: this.nodes.length,
          timeoutMs: this.#timeoutMs,
          reason,
          logFiles: this.nodes.map((node) => node.logFile).join(', '),
        });
      await clock.sleep(POLL_MS, { signal: options.signal });
    }
  }

  /** Idempotent; when it resolves, nothing of the cluster runs. */
  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

async function findBinary(options: NatsClusterOptions, env: Env): Promise<string> {
  const found = await findNatsServer({
    env,
    environment: options.environment ?? processEnvironment(),
    signal: options.signal,
    ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
  });
  return found.path;
}

/** The cluster's own fields; the rest are checked by each server. */
function resolveShape({ size, name, timeoutMs }: NatsClusterOptions): ClusterShape {
  return resolveOptions('nats-cluster', { size, name, timeoutMs }, (read) => ({
    size: read.integer('size', { default: 3, min: 2, max: 9 }),
    name: read.string('name', { default: `canopy-${randomUUID().slice(0, 8)}` }),
    timeoutMs: read.durationMs('timeoutMs', { default: 60_000, minMs: 1 }),
  }));
}
