/** A primary and a standby of one database, on one nats-server or on a cluster of them. */
import { join } from 'node:path';
import { type Env, epoch, noGuard, type Promotable, systemEnv } from '@canopy/core';
import { type Blobs, connectNats, type Kv, type NatsSession } from '@canopy/nats';
import { SegmentLog, sqlite } from '@canopy/sqlite';
import { temporaryDirectory, testNatsCluster, testNatsServer } from '@canopy/testkit';

const PLATFORM = 'bench';
const APP = 'app';

interface Parts {
  readonly directory: string;
  readonly session: NatsSession;
  readonly primary: Promotable;
  readonly standby: Promotable;
  readonly log: Blobs;
}

export interface PairOptions {
  /** Default 1. Of a cluster the log has three copies. */
  readonly servers?: 1 | 3;
}

export class Pair implements AsyncDisposable {
  readonly env: Env;
  readonly directory: string;
  readonly primary: Promotable;
  readonly standby: Promotable;
  readonly #parts: Parts;
  readonly #stack: AsyncDisposableStack;

  private constructor(parts: Parts, env: Env, stack: AsyncDisposableStack) {
    this.env = env;
    this.directory = parts.directory;
    this.primary = parts.primary;
    this.standby = parts.standby;
    this.#parts = parts;
    this.#stack = stack;
  }

  /** Both follow, and the primary is promoted. */
  static async start({ servers = 1 }: PairOptions = {}): Promise<Pair> {
    const env = systemEnv();
    await using stack = new AsyncDisposableStack();
    const { path: directory } = stack.use(await temporaryDirectory('bench'));
    const nats = { syncAlways: true };
    const { connection } = stack.use(await (servers === 1 ? testNatsServer(nats) : testNatsCluster(nats)));
    const session = stack.use(await connectNats(connection, { name: 'bench', env }));
    const open = (node: string): Promotable => {
      const context = { platform: PLATFORM, app: APP, node, connection, env, guard: noGuard };
      const database = sqlite(join(directory, `${node}.db`)).open(context);
      stack.defer(() => database.stop());
      return database;
    };
    const [primary, standby] = [open('primary'), open('standby')];
    await Promise.all([primary.start(), standby.start()]);
    await primary.promote({ epoch: epoch(1), signal: AbortSignal.timeout(30_000) });
    const log = await session.blobs(`${PLATFORM}_${APP}_wal`);
    return new Pair({ directory, session, primary, standby, log }, env, stack.move());
  }

  get primaryPath(): string {
    return join(this.directory, 'primary.db');
  }

  get standbyPath(): string {
    return join(this.directory, 'standby.db');
  }

  /** A database file that nobody replicates, beside the others on the same disk. */
  plainPath(name: string): string {
    return join(this.directory, `plain-${name}.db`);
  }

  /** The log as a reader of its own sees it. */
  segmentLog(): SegmentLog {
    return new SegmentLog({ blobs: this.#parts.log, clock: this.env.clock });
  }

  /** The log's bucket. */
  get logBlobs(): Blobs {
    return this.#parts.log;
  }

  /** A bucket for bare puts. */
  bareBlobs(): Promise<Blobs> {
    return this.#parts.session.ensureBlobs('bare');
  }

  /** A bucket for bare publishes: a put into it is one JetStream message and its acknowledgement. */
  bareKv(): Promise<Kv> {
    return this.#parts.session.ensureKv('bare-kv');
  }

  /** Sizes of the log's objects after `txid`, snapshots excluded, in order. */
  async segmentSizes(afterTxid: number): Promise<number[]> {
    const blobs = await this.#parts.log.list();
    const found = blobs.flatMap(({ name, size }) => {
      const txid = /^ltx\/0\/([0-9a-f]{16})-/.exec(name)?.[1];
      return txid === undefined ? [] : [{ txid: Number.parseInt(txid, 16), size }];
    });
    return found
      .filter(({ txid }) => txid > afterTxid)
      .sort((a, b) => a.txid - b.txid)
      .map(({ size }) => size);
  }

  /** Everything committed is in the log, and the standby has applied it. */
  async settle(): Promise<number> {
    const position = await this.primary.sync();
    await this.standby.waitFor(position, { signal: AbortSignal.timeout(60_000) });
    return position.txid;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}
