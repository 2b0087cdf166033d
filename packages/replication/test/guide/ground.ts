/** What the guide's programs have: sessions on a real server, pipelines and heartbeats on JetStream, stores in SQLite files. All of it ends with its test. */
import { join } from 'node:path';
import { systemEnv } from '@canopy/core';
import { connectNats, type NatsSession } from '@canopy/nats';
import {
  type AtomicStateStore,
  type EventLog,
  type Heartbeats,
  kvHeartbeats,
  LeaderFollowerManager,
  MultiMasterManager,
  openEventLog,
  SqliteStore,
  stateStore,
} from '@canopy/replication';
import { eventually, TcpProxy, type TemporaryDirectory, temporaryDirectory, testNatsServer } from '@canopy/testkit';
import { onTestFinished } from 'vitest';

let nats: ReturnType<typeof testNatsServer> | undefined;
const ends: (() => Promise<void>)[] = [];

/** One server for the tests of a file; `afterAll(endServer)`. */
const server = () => {
  nats ??= testNatsServer({ onCleanup: (end) => ends.push(end) });
  return nats;
};
export const endServer = async (): Promise<void> => {
  for (const end of ends.splice(0)) await end();
};

export const WAIT = { timeoutMs: 30_000 };
/** Retries expectations until they hold. */
export const until = (check: () => Promise<void> | void): Promise<true> =>
  eventually(async () => {
    await check();
    return true as const;
  }, WAIT);

/** What one node brings. A partition cuts it off, and nobody else. */
export interface Node {
  readonly session: NatsSession;
  readonly pipeline: EventLog;
  readonly proxy: TcpProxy;
}

export class Ground {
  readonly namespace: string;
  readonly printed: string[] = [];
  readonly console = {
    log: (line: unknown): void => void this.printed.push(String(line)),
    warn: (line: unknown): void => void this.printed.push(`warning: ${line}`),
    error: (line: unknown): void => void this.printed.push(`error: ${line}`),
  };
  readonly #directory: TemporaryDirectory;
  #stores = 0;

  private constructor(namespace: string, directory: TemporaryDirectory) {
    this.namespace = namespace;
    this.#directory = directory;
  }

  static async of(namespace: string): Promise<Ground> {
    const directory = await temporaryDirectory('guide');
    onTestFinished(() => directory.remove());
    return new Ground(namespace, directory);
  }

  async session(name: string, url?: string): Promise<NatsSession> {
    const { connection } = await server();
    const spec = url === undefined ? connection : { ...connection, servers: [url] };
    const session = await connectNats(spec, { name, env: systemEnv() });
    onTestFinished(() => session.close());
    return session;
  }

  async node(name: string): Promise<Node> {
    const proxy = await TcpProxy.start((await server()).url);
    onTestFinished(() => proxy.stop());
    const session = await this.session(name, proxy.url);
    return { session, proxy, pipeline: await openEventLog(session, { namespace: this.namespace }) };
  }

  async pipeline(name = 'node'): Promise<EventLog> {
    return openEventLog(await this.session(name), { namespace: this.namespace });
  }

  async heartbeat(timeoutMs = 5000, session?: NatsSession): Promise<Heartbeats> {
    const own = session ?? (await this.session('heartbeat'));
    const heartbeat = await kvHeartbeats(own, { namespace: this.namespace, timeoutMs });
    onTestFinished(() => heartbeat.close());
    return heartbeat;
  }

  /** A file of its own. */
  sqlite(): SqliteStore {
    this.#stores += 1;
    const store = SqliteStore.open({ path: join(this.#directory.path, `${this.#stores}.db`) });
    onTestFinished(() => store.close());
    return store;
  }

  sqliteStore(): AtomicStateStore {
    return stateStore(this.sqlite());
  }
}

/** Closed with its test. */
export function leaderFollower(...args: ConstructorParameters<typeof LeaderFollowerManager>): LeaderFollowerManager {
  const manager = new LeaderFollowerManager(...args);
  onTestFinished(() => manager.close());
  return manager;
}

/** Closed with its test. */
export function multiMaster(...args: ConstructorParameters<typeof MultiMasterManager>): MultiMasterManager {
  const master = new MultiMasterManager(...args);
  onTestFinished(() => master.close());
  return master;
}
