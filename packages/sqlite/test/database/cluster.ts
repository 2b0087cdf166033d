/** Several nodes of one app on one nats-server, each a real Promotable with its own process and file. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import {
  type ConnectionSpec,
  type DatabaseEvent,
  epoch,
  type Position,
  type ProcessGuard,
  type Promotable,
  systemEnv,
} from '@canopy/core';
import {
  eventually,
  type TemporaryDirectory,
  type TestNatsServer,
  temporaryDirectory,
  testNatsServer,
} from '@canopy/testkit';
import { type SqliteOptions, sqlite } from '../../src/index.ts';

export interface TestNode {
  readonly name: string;
  readonly path: string;
  readonly database: Promotable;
  readonly events: DatabaseEvent[];
  /** Of the present database process. */
  pid(): number;
  promote(at: number): Promise<Position>;
  event<T extends DatabaseEvent['type']>(type: T): Promise<Extract<DatabaseEvent, { type: T }>>;
}

export interface TestPlace {
  readonly path?: string;
  readonly app?: string;
  /** Instead of the cluster's own, as through a proxy. */
  readonly connection?: ConnectionSpec;
}

export class TestCluster implements AsyncDisposable {
  readonly nats: TestNatsServer;
  readonly directory: TemporaryDirectory;
  readonly #nodes: TestNode[] = [];

  private constructor(nats: TestNatsServer, directory: TemporaryDirectory) {
    this.nats = nats;
    this.directory = directory;
  }

  static async start(): Promise<TestCluster> {
    return new TestCluster(await testNatsServer(), await temporaryDirectory('sqlite'));
  }

  get connection(): ConnectionSpec {
    return this.nats.connection;
  }

  /** Not started yet. */
  node(name: string, options: SqliteOptions = {}, place: TestPlace = {}): TestNode {
    const path = place.path ?? join(this.directory.path, `${name}.db`);
    const pids: number[] = [];
    const guard: ProcessGuard = {
      register: async ({ pid }) => {
        pids.push(pid);
      },
      unregister: async () => {},
    };
    const connection = place.connection ?? this.connection;
    const context = { platform: 'test', app: place.app ?? 'app', node: name, connection };
    const database = sqlite(path, options).open({ ...context, env: systemEnv(), guard });
    const events: DatabaseEvent[] = [];
    void (async () => {
      for await (const event of database.watch()) events.push(event);
    })();
    const node: TestNode = {
      name,
      path,
      database,
      events,
      pid: () => pids.at(-1) as number,
      promote: (at) => database.promote({ epoch: epoch(at), signal: AbortSignal.timeout(20_000) }),
      event: (type) =>
        eventually(() => events.findLast((event) => event.type === type), {
          what: `event ${type} of ${name}`,
        }) as never,
    };
    this.#nodes.push(node);
    return node;
  }

  async started(name: string, options: SqliteOptions = {}, place: TestPlace = {}): Promise<TestNode> {
    const node = this.node(name, options, place);
    await node.database.start();
    return node;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#nodes.map((node) => node.database.stop()));
    await this.nats[Symbol.asyncDispose]();
    await this.directory.remove();
  }
}

/** All rows of a table, read as any program would. */
export function rowsOf(path: string, sql = 'SELECT * FROM t ORDER BY id'): unknown[] {
  const connection = new DatabaseSync(path, { timeout: 5000 });
  try {
    return connection.prepare(sql).all();
  } finally {
    connection.close();
  }
}

/** Runs statements as the application would, on a connection of their own. */
export function write(path: string, ...statements: readonly string[]): void {
  const connection = new DatabaseSync(path, { timeout: 5000 });
  try {
    for (const sql of statements) connection.exec(sql);
  } finally {
    connection.close();
  }
}

export function integrity(path: string): string {
  return String(Object.values(rowsOf(path, 'PRAGMA integrity_check')[0] as object)[0]);
}
