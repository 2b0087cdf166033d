/**
 * A play cluster on this machine: an embedded nats-server and N nodes, each an operating-system process of its own, all
 * below one directory. Stopping it and starting it again keeps the data, the ports and the node names.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type ConnectionSpec, type Env, Lifecycle, makeDirectory, type StartOptions } from '@canopy/core';
import { describeProgress, findNatsServer, NatsServer } from '@canopy/nats/server';
import { stringify } from 'yaml';
import { defined } from '../config/build.ts';
import { fillPlaceholders } from '../config/placeholders.ts';
import type { AppConfig, Config } from '../config/schema.ts';
import { ensureWritableDirectory } from '../config/writable-directory.ts';
import { clusterFile } from './cluster-file.ts';
import { lockDirectory } from './directory-lock.ts';
import { NodeProcess } from './node-process.ts';
import { PortBook } from './ports.ts';
import { Supervisor } from './supervisor.ts';

export interface LocalClusterOptions {
  readonly directory: string;
  /** How many nodes; named n1, n2, … */
  readonly nodes: number;
  readonly platform: string;
  /** App sections with placeholders: `{node}`, `{index}`, `{dataDir}`, `{db}`, `{port:NAME}`. */
  readonly apps: Readonly<Record<string, AppConfig>>;
  /** Where relative paths of the app sections begin. */
  readonly appsDirectory: string;
  /** Lease time of apps that don't say their own. */
  readonly ttl?: string | number | undefined;
  /** First choice for the NATS port; another is taken when it is not free, unless `exactPorts`. */
  readonly natsPort?: number | undefined;
  readonly exactPorts?: boolean | undefined;
  /** Take any free ports instead of memorable ones (4222, 8081…): for clusters beside others. Default false. */
  readonly anyPorts?: boolean | undefined;
  readonly logLevel?: 'debug' | 'info' | 'warn' | 'error' | undefined;
  /** Get a nats-server when none is on this machine. Default true. */
  readonly provision?: boolean | undefined;
  /** Start nodes and server again when they end by themselves, and tell `onProgress`. Default false. */
  readonly supervise?: boolean | undefined;
  readonly onProgress?: ((text: string) => void) | undefined;
}

export class LocalCluster extends Lifecycle {
  readonly #options: LocalClusterOptions;
  readonly #env: Env;
  readonly #ports: PortBook;
  #lock: Disposable | undefined;
  #nats: NatsServer | undefined;
  #nodes: LocalNode[] = [];
  #supervisor: Supervisor | undefined;

  constructor(options: LocalClusterOptions, env: Env) {
    super('cluster');
    this.#options = { ...options, directory: resolve(options.directory) };
    this.#env = env;
    ensureWritableDirectory(this.#options.directory);
    this.#ports = new PortBook(this.#options.directory);
  }

  get directory(): string {
    return this.#options.directory;
  }

  get platform(): string {
    return this.#options.platform;
  }

  get nats(): NatsServer {
    this.require('use its NATS server', 'starting', 'running', 'stopping');
    return this.#nats as NatsServer;
  }

  get connection(): ConnectionSpec {
    return this.nats.connection;
  }

  get nodes(): readonly LocalNode[] {
    return this.#nodes;
  }

  protected override async onStart({ signal }: StartOptions): Promise<void> {
    const note = this.#options.onProgress ?? (() => {});
    this.#lock = lockDirectory(this.directory);
    const found = await findNatsServer({
      onProgress: (progress) => note(describeProgress(progress)),
      provision: this.#options.provision ?? true,
      ...(signal === undefined ? {} : { signal }),
    });
    note(`starting nats-server ${found.version}`);
    this.#nats = await NatsServer.launch({
      binary: found.path,
      dataDir: join(this.directory, 'nats'),
      port: await this.#natsPort(),
      env: this.#env,
      ...(signal === undefined ? {} : { signal }),
    });
    this.#nodes = await Promise.all(Array.from({ length: this.#options.nodes }, (_, i) => this.#prepareNode(i + 1)));
    writeFileSync(
      clusterFile(this.directory),
      JSON.stringify({ platform: this.platform, connection: this.connection }),
      {
        mode: 0o600,
      },
    );
    note(`starting ${this.#nodes.length} node${this.#nodes.length === 1 ? '' : 's'}`);
    for (const node of this.#nodes) node.process.spawn();
    await Promise.all(this.#nodes.map((node) => node.process.ready(60_000, signal)));
    if (this.#options.supervise === true) this.#superviseWith(note);
  }

  #superviseWith(note: (text: string) => void): void {
    const nodes = this.#nodes.map((node) => node.process);
    this.#supervisor = new Supervisor({ directory: this.directory, nodes, nats: this.nats }, note, this.#env.clock);
    this.#supervisor.start();
  }

  protected override async onStop(): Promise<void> {
    await this.#supervisor?.stop();
    await Promise.all(this.#nodes.map((node) => node.process.stop()));
    await this.#nats?.stop();
    if (this.#lock !== undefined) rmSync(clusterFile(this.directory), { force: true });
    this.#lock?.[Symbol.dispose]();
  }

  async #natsPort(): Promise<number> {
    const { natsPort, exactPorts } = this.#options;
    return exactPorts === true && natsPort !== undefined ? natsPort : this.#port('nats', natsPort ?? 4222);
  }

  #port(name: string, wanted: number): Promise<number> {
    return this.#ports.get(name, this.#options.anyPorts === true ? 0 : wanted);
  }

  async #prepareNode(index: number): Promise<LocalNode> {
    const name = `n${index}`;
    const home = join(this.directory, name);
    makeDirectory(home);
    const httpPort = await this.#port(`${name}/http`, 8180 + index);
    const apps: Record<string, AppConfig> = {};
    for (const [app, template] of Object.entries(this.#options.apps)) {
      apps[app] = await this.#fillApp(template, { node: name, index, home, app });
    }
    const config: Config = {
      platform: this.platform,
      node: name,
      nats: connectionSection(this.connection),
      dataDir: join(home, 'data'),
      http: { listen: `127.0.0.1:${httpPort}` },
      log: { level: this.#options.logLevel ?? 'info' },
      ...(this.#options.ttl === undefined ? {} : { ttl: this.#options.ttl }),
      apps,
    };
    const configFile = join(home, 'canopy.yaml');
    writeFileSync(configFile, stringify(config), { mode: 0o600 });
    const httpUrl = `http://127.0.0.1:${httpPort}`;
    const logFile = join(home, 'node.log');
    const proxies = Object.entries(apps).flatMap(([app, section]) =>
      section.proxy === undefined ? [] : [[app, `http://${section.proxy.listen}`]],
    );
    return {
      name,
      httpUrl,
      home,
      proxyUrls: Object.fromEntries(proxies),
      apps,
      process: new NodeProcess({ name, configFile, logFile, httpUrl, clock: this.#env.clock }),
    };
  }

  async #fillApp(
    template: AppConfig,
    of: { node: string; index: number; home: string; app: string },
  ): Promise<AppConfig> {
    const ports: Record<string, string> = {};
    for (const [, port] of JSON.stringify(template).matchAll(/\{port:([a-zA-Z0-9-]+)\}/g)) {
      const wanted = port === 'proxy' ? 8080 + of.index : 0;
      ports[`port:${port}`] = String(await this.#port(`${of.node}/${of.app}/${port}`, wanted));
    }
    const known: Readonly<Record<string, string>> = { ...ports, node: of.node, index: String(of.index) };
    const filled = fillPlaceholders(template, (key) => known[key]);
    if (filled.backend === undefined) return filled;
    const cwd = resolve(this.#options.appsDirectory, filled.backend.cwd ?? '.');
    return { ...filled, backend: { ...filled.backend, cwd } };
  }
}

/** One node of the cluster with the addresses that a person or a test needs. */
export interface LocalNode {
  readonly name: string;
  readonly httpUrl: string;
  /** Everything of this node is below it: configuration, log, data. */
  readonly home: string;
  /** By app. */
  readonly proxyUrls: Readonly<Record<string, string>>;
  /** The app sections with everything filled in but `{dataDir}` and `{db}`. */
  readonly apps: Readonly<Record<string, AppConfig>>;
  readonly process: NodeProcess;
}

function connectionSection(connection: ConnectionSpec): NonNullable<Config['nats']> {
  const { servers, ...rest } = connection;
  return { ...(defined(rest) as object), servers: [...servers] };
}
