/** Several nodes of one platform in this process, with a database and a backend each that the test can break. */
import { systemEnv } from '@canopy/core';
import { type LogLine, memoryLogger } from '@canopy/core/testing';
import type { NatsSession } from '@canopy/nats';
import { eventually, type TemporaryDirectory, temporaryDirectory } from '@canopy/testkit';
import type { App } from '../../src/apps/app.ts';
import { type AppOptions, singleton } from '../../src/apps/options.ts';
import type { PlatformOptions } from '../../src/node/options.ts';
import { Platform } from '../../src/node/platform.ts';
import { FakeBackends } from '../fakes/backend.ts';
import { FakeDatabases, FakeLog } from '../fakes/database.ts';

export interface TestNode {
  readonly platform: Platform;
  readonly app: App;
  readonly session: NatsSession;
  readonly databases: FakeDatabases;
  readonly backends: FakeBackends;
  readonly lines: readonly LogLine[];
  readonly hooks: string[];
}

export interface ClusterOptions {
  readonly ttl?: number;
  readonly refreshInterval?: number;
  readonly app?: Partial<AppOptions>;
  readonly platform?: Partial<PlatformOptions>;
}

export class TestCluster implements AsyncDisposable {
  readonly nodes: TestNode[] = [];
  readonly log = new FakeLog();
  readonly #connect: () => Promise<NatsSession>;
  readonly #directory: TemporaryDirectory;
  readonly #options: ClusterOptions;

  private constructor(connect: () => Promise<NatsSession>, directory: TemporaryDirectory, options: ClusterOptions) {
    this.#connect = connect;
    this.#directory = directory;
    this.#options = options;
  }

  static async open(connect: () => Promise<NatsSession>, options: ClusterOptions = {}): Promise<TestCluster> {
    return new TestCluster(connect, await temporaryDirectory('platform'), options);
  }

  /** A node that is not started. */
  async node(id: string, options: ClusterOptions = this.#options): Promise<TestNode> {
    const session = await this.#connect();
    const { log, lines } = memoryLogger();
    const databases = new SharedLogDatabases(this.log);
    const backends = new FakeBackends(databases);
    const hooks: string[] = [];
    const platform = new Platform(
      {
        name: 'test',
        node: id,
        session,
        dataDir: `${this.#directory.path}/${id}`,
        ttl: options.ttl ?? 2000,
        refreshInterval: options.refreshInterval ?? 200,
        http: { port: 0 },
        ...options.platform,
      },
      systemEnv({ log }),
    );
    const app = platform.app('ledger', {
      mode: singleton(),
      database: databases,
      backend: backends,
      proxy: { listen: 0 },
      onStart: () => void hooks.push('start'),
      onActive: ({ epoch }) => void hooks.push(`active ${epoch}`),
      onPassive: ({ epoch }) => void hooks.push(`passive ${epoch}`),
      onStandby: () => void hooks.push('standby'),
      onLeaderChange: ({ leader }) => void hooks.push(`leader ${leader}`),
      onStop: () => void hooks.push('stop'),
      ...options.app,
    });
    const node: TestNode = { platform, app, session, databases, backends, lines, hooks };
    this.nodes.push(node);
    return node;
  }

  async started(id: string, options?: ClusterOptions): Promise<TestNode> {
    const node = await this.node(id, options);
    await node.platform.start();
    return node;
  }

  /** The node that serves, once one does and every running node routes to it. */
  serving(except?: TestNode): Promise<TestNode> {
    return eventually(
      () => {
        const found = this.nodes.filter((node) => node.app.serving);
        if (found.length > 1) throw new Error(`two serve: ${found.map((node) => node.platform.node).join(', ')}`);
        return found[0] !== except ? found[0] : undefined;
      },
      { what: 'one node serves', timeoutMs: 15_000 },
    );
  }

  /** One request through the node's proxy. */
  async send(node: TestNode, method: 'GET' | 'POST', body?: string): Promise<{ status: number; text: string }> {
    const response = await fetch(`http://${node.app.proxyAddress}/`, {
      method,
      ...(body === undefined ? {} : { body }),
    });
    return { status: response.status, text: await response.text() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.platform.stop()));
    await Promise.all(this.nodes.map((node) => node.session.close()));
    await this.#directory.remove();
  }
}

/** All nodes' databases are on one log. */
class SharedLogDatabases extends FakeDatabases {
  override readonly log: FakeLog;

  constructor(log: FakeLog) {
    super();
    this.log = log;
  }
}
