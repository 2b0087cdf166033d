/** A nats-server with a bucket for leases, and elections on it that end with the rig. */
import { type ConnectionSpec, type Env, systemEnv } from '@canopy/core';
import { Election, type ElectionOptions } from '@canopy/election';
import { connectNats, type Kv, type NatsSession } from '@canopy/nats';
import { testNatsServer } from '@canopy/testkit';

export const BUCKET = 'leases';

export class ElectionRig implements AsyncDisposable {
  readonly env: Env = systemEnv();
  readonly connection: ConnectionSpec;
  readonly url: string;
  readonly #stack: AsyncDisposableStack;
  #groups = 0;

  private constructor(connection: ConnectionSpec, url: string, stack: AsyncDisposableStack) {
    this.connection = connection;
    this.url = url;
    this.#stack = stack;
  }

  static async start(): Promise<ElectionRig> {
    await using stack = new AsyncDisposableStack();
    const server = stack.use(await testNatsServer({ syncAlways: true }));
    return new ElectionRig(server.connection, server.url, stack.move());
  }

  async session(name: string, connection = this.connection): Promise<NatsSession> {
    return this.#stack.use(await connectNats(connection, { name, env: this.env }));
  }

  /** The bucket of all elections here; entries never expire by themselves. */
  async bucket(session: NatsSession): Promise<Kv> {
    return session.ensureKv(BUCKET);
  }

  newGroup(): string {
    return `g${++this.#groups}`;
  }

  /** Started. The caller stops it. No random wait before writes: it would be measured. */
  async election(session: NatsSession, options: Omit<ElectionOptions, 'session' | 'bucket'>, env = this.env) {
    const election = new Election({ session, bucket: BUCKET, bucketTtl: 0, jitter: 0, ...options }, env);
    await election.start();
    return election;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}
