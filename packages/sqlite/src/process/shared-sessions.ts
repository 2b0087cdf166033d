/**
 * One connection to NATS for all databases of a process that use the same servers and credentials, so that an idle process
 * has one pair of pings and not one for each database. Each database has a session of its own in appearance. Invariant:
 * closing it ends what this database watches and subscribes to, and nothing of another's; the last one closes the connection.
 */
import type { ConnectionSpec } from '@canopy/core';
import type { Blobs, Bus, NatsSession } from '@canopy/nats';

interface Connection {
  readonly session: Promise<NatsSession>;
  leases: number;
}

export class SharedSessions {
  readonly #dial: (spec: ConnectionSpec) => Promise<NatsSession>;
  readonly #connections = new Map<string, Connection>();

  constructor(dial: (spec: ConnectionSpec) => Promise<NatsSession>) {
    this.#dial = dial;
  }

  /** Rejects with what dialling throws; the next who asks dials again. */
  async lease(spec: ConnectionSpec): Promise<NatsSession> {
    const key = JSON.stringify(spec);
    const connection = this.#connections.get(key) ?? this.#open(key, spec);
    connection.leases++;
    let session: NatsSession;
    try {
      session = await connection.session;
    } catch (error) {
      this.#forget(key, connection);
      throw error;
    }
    return new LeasedSession(session, async () => {
      if (--connection.leases > 0) return;
      this.#forget(key, connection);
      await session.close();
    });
  }

  #open(key: string, spec: ConnectionSpec): Connection {
    const connection: Connection = { session: this.#dial(spec), leases: 0 };
    this.#connections.set(key, connection);
    const watch = async (): Promise<void> => {
      // One that was closed for good (its credentials were withdrawn) is not given to anybody any more.
      for await (const event of (await connection.session).watch())
        if (event.type === 'closed') this.#forget(key, connection);
    };
    watch().catch(() => this.#forget(key, connection));
    return connection;
  }

  #forget(key: string, connection: Connection): void {
    if (this.#connections.get(key) === connection) this.#connections.delete(key);
  }
}

class LeasedSession implements NatsSession {
  readonly bus: Bus;
  readonly #session: NatsSession;
  readonly #release: () => Promise<void>;
  readonly #closed = new AbortController();
  #closing: Promise<void> | undefined;

  constructor(session: NatsSession, release: () => Promise<void>) {
    this.#session = session;
    this.#release = release;
    this.bus = leasedBus(session.bus, this.#closed.signal);
  }

  kv(...args: Parameters<NatsSession['kv']>): ReturnType<NatsSession['kv']> {
    return this.#session.kv(...args);
  }

  ensureKv(...args: Parameters<NatsSession['ensureKv']>): ReturnType<NatsSession['ensureKv']> {
    return this.#session.ensureKv(...args);
  }

  async blobs(bucket: string): Promise<Blobs> {
    return leasedBlobs(await this.#session.blobs(bucket), this.#closed.signal);
  }

  async ensureBlobs(...args: Parameters<NatsSession['ensureBlobs']>): Promise<Blobs> {
    return leasedBlobs(await this.#session.ensureBlobs(...args), this.#closed.signal);
  }

  stream(...args: Parameters<NatsSession['stream']>): ReturnType<NatsSession['stream']> {
    return this.#session.stream(...args);
  }

  ensureStream(...args: Parameters<NatsSession['ensureStream']>): ReturnType<NatsSession['ensureStream']> {
    return this.#session.ensureStream(...args);
  }

  status(): ReturnType<NatsSession['status']> {
    return this.#session.status();
  }

  watch(options: { signal?: AbortSignal | undefined } = {}): ReturnType<NatsSession['watch']> {
    return this.#session.watch({ signal: either(options.signal, this.#closed.signal) });
  }

  close(): Promise<void> {
    this.#closed.abort(new DOMException('the session was closed', 'AbortError'));
    this.#closing ??= this.#release();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function either(signal: AbortSignal | undefined, closed: AbortSignal): AbortSignal {
  return signal === undefined ? closed : AbortSignal.any([signal, closed]);
}

function leasedBus(bus: Bus, closed: AbortSignal): Bus {
  return {
    publish: (...args) => bus.publish(...args),
    request: (subject, data, options) => bus.request(subject, data, options),
    subscribe: (subject, options) => bus.subscribe(subject, { ...options, signal: either(options?.signal, closed) }),
    flush: () => bus.flush(),
  };
}

/** Everything but watches has a bound of its own. */
function leasedBlobs(blobs: Blobs, closed: AbortSignal): Blobs {
  return {
    bucket: blobs.bucket,
    put: (...args) => blobs.put(...args),
    get: (...args) => blobs.get(...args),
    read: (...args) => blobs.read(...args),
    info: (...args) => blobs.info(...args),
    list: (...args) => blobs.list(...args),
    delete: (...args) => blobs.delete(...args),
    deleteInOrder: (...args) => blobs.deleteInOrder(...args),
    watch: (prefix, options) => blobs.watch(prefix, { signal: either(options?.signal, closed) }),
    bucketInfo: (...args) => blobs.bucketInfo(...args),
    sweep: (...args) => blobs.sweep(...args),
  };
}
