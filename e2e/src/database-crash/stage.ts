/** Everything that runs: the server, three nodes, one of them primary, its application, and whoever acknowledges. */
import { mkdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { type ConnectionSpec, type Env, type Random, seededRandom } from '@canopy/core';
import { eventually, testNatsCluster, testNatsServer } from '@canopy/testkit';
import { CrashNode, Writer } from './node.ts';
import { Disk } from './shim.ts';

const READY_MS = 60_000;
const PROMOTION_TRIES = 6;

/** One server, or three of which one at a time is hit. */
export interface Servers extends AsyncDisposable {
  readonly connection: ConnectionSpec;
  kill(which: number): Promise<void>;
  restart(which: number): Promise<void>;
}

async function launchServers(count: 1 | 3): Promise<Servers> {
  const launched = count === 1 ? await testNatsServer() : await testNatsCluster();
  const servers = 'server' in launched ? [launched.server] : launched.nodes;
  const server = (which: number) => servers[which % servers.length] as (typeof servers)[number];
  return {
    connection: launched.connection,
    kill: (which) => server(which).kill(),
    restart: (which) => server(which).restart(),
    [Symbol.asyncDispose]: () => launched[Symbol.asyncDispose](),
  };
}

export interface StageOptions {
  readonly directory: string;
  readonly seed: string;
  /** The compiled shim; without it nodes are on the real disk. */
  readonly shim: string | undefined;
  readonly env: Env;
  readonly servers: 1 | 3;
}

export class DatabaseStage implements AsyncDisposable {
  readonly nats: Servers;
  readonly nodes: readonly CrashNode[];
  readonly random: Random;
  readonly env: Env;
  /** The highest mark of each writer that a resolved sync covers. */
  readonly acknowledged = new Map<string, number>();
  /** The highest mark of each writer that a node has committed and that must be somewhere since. */
  readonly committed = new Map<string, number>();
  #primary: CrashNode;
  #epoch = 1;
  #writer: Writer | undefined;
  #acknowledging: Promise<void> = Promise.resolve();
  #acknowledge = new AbortController();

  private constructor(nats: Servers, nodes: readonly CrashNode[], options: StageOptions) {
    this.nats = nats;
    this.nodes = nodes;
    this.random = seededRandom(`${options.seed}/stage`);
    this.env = options.env;
    this.#primary = nodes[0] as CrashNode;
  }

  static async raise(options: StageOptions): Promise<DatabaseStage> {
    const nats = await launchServers(options.servers);
    const directory = realpathSync(options.directory);
    const nodes = ['a', 'b', 'c'].map((name) => {
      const place = join(directory, name);
      if (options.shim === undefined) mkdirSync(place);
      const disk = options.shim === undefined ? undefined : new Disk(place, options.shim);
      const settings = { checkpointPages: 60, lockTimeout: 8000, stallAfter: 20_000, flushStandby: name === 'b' };
      const context = { connection: nats.connection, env: options.env, directory: place };
      return new CrashNode(name, { ...context, disk, options: settings });
    });
    const stage = new DatabaseStage(nats, nodes, options);
    try {
      for (const node of nodes) await node.launch();
      await stage.promote(stage.primary);
      return stage;
    } catch (error) {
      await stage[Symbol.asyncDispose]();
      throw error;
    }
  }

  get primary(): CrashNode {
    return this.#primary;
  }

  get standbys(): readonly CrashNode[] {
    return this.nodes.filter((node) => node !== this.#primary);
  }

  get epoch(): number {
    return this.#epoch;
  }

  get writer(): Writer | undefined {
    return this.#writer;
  }

  /** The application on the primary, and syncs beside it until it is ended. */
  async write(name: string, marks: number): Promise<void> {
    const writer = new Writer(this.#primary, name, `${name}/${this.random.int(2 ** 31)}`);
    this.#writer = writer;
    this.#acknowledge = new AbortController();
    this.#acknowledging = this.#acknowledgeAll(this.#primary, writer, this.#acknowledge.signal);
    await eventually(() => writer.last >= marks || !writer.running, {
      what: 'the application writes',
      timeoutMs: READY_MS,
    });
    if (!writer.running) throw new Error(`the application ended: ${writer.output.slice(-500)}`);
  }

  /** `counts`: what it has committed must be found again, wherever. Not so after a loss of power. */
  async endWriter(signal: 'SIGKILL' | 'SIGTERM', counts = true): Promise<void> {
    const writer = this.#writer;
    if (writer === undefined) return;
    await writer.end(signal);
    if (writer.problem !== undefined) throw new Error(`the application failed: ${writer.problem}`);
    if (counts) this.committed.set(writer.name, writer.last);
    this.#acknowledge.abort(new Error('the application has ended'));
    await this.#acknowledging;
    this.#writer = undefined;
  }

  /** A primary of a higher epoch than any before; tried again under the next one while the node can't yet. */
  async promote(node: CrashNode): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      await this.ready(node);
      this.#epoch += 1;
      try {
        await node.promote(this.#epoch);
        this.#primary = node;
        return;
      } catch (error) {
        if (attempt === PROMOTION_TRIES) throw error;
        await this.env.clock.sleep(300);
      }
    }
  }

  nextEpoch(): number {
    this.#epoch += 1;
    return this.#epoch;
  }

  async ready(node: CrashNode): Promise<void> {
    await eventually(() => node.running && node.database.status().role === 'standby', {
      what: `${node.name} is a standby`,
      timeoutMs: READY_MS,
    }).catch((error: Error) => {
      throw new Error(`${error.message}; ${JSON.stringify(node.running ? node.database.status() : 'not running')}`);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.endWriter('SIGKILL').catch(() => {});
    for (const node of this.nodes) await node[Symbol.asyncDispose]();
    await this.nats[Symbol.asyncDispose]();
  }

  async #acknowledgeAll(node: CrashNode, writer: Writer, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const { last } = writer;
      try {
        await node.database.sync({ signal: AbortSignal.any([signal, AbortSignal.timeout(10_000)]) });
        if (last > 0) this.acknowledged.set(writer.name, last);
      } catch {
        // Whoever asks is told that it is unknown: not acknowledged.
      }
      await this.env.clock.sleep(10 + this.random.int(30), { signal }).catch(() => {});
    }
  }
}
