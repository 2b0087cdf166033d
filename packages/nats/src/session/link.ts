/**
 * A connection to NATS as the adapters see it: whether it is up, changes of that as events, and a request that never
 * outlives its deadline or the connection it was sent on. Nothing is sent while the connection is down, so a call that
 * could not be sent has certainly not happened.
 */
import { abortable, Broadcast, coreErrors, type Env } from '@canopy/core';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { natsErrors } from '../errors.ts';
import { transportFault } from '../jetstream/failures.ts';
import { Answers, type RequestOptions } from './answers.ts';
import type { SessionEvent, SessionStatus } from './port.ts';

/** The connection broke while an answer was awaited; whether the request arrived is not known. */
export class LinkBroken extends Error {}

export class Link {
  readonly nc: NatsConnection;
  readonly env: Env;
  /** The servers, for messages; no secrets. */
  readonly servers: string;
  readonly #events = new Broadcast<SessionEvent>({ capacity: 256 });
  readonly #closing = new AbortController();
  readonly #answers: Answers;
  #up = true;
  readonly #onBroken = new Set<(error: Error) => void>();
  readonly #waiters = new Set<() => void>();
  #reconnects = 0;
  #closedWith: Error | undefined;

  constructor(nc: NatsConnection, env: Env, servers: string) {
    this.nc = nc;
    this.env = env;
    this.servers = servers;
    this.#answers = new Answers(nc, env.clock);
    void this.#follow();
    void nc.closed().then((error) => this.shut(error instanceof Error ? error : undefined));
  }

  /** Aborts when this link is closed for good. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  get connected(): boolean {
    return this.#up && !this.closing.aborted;
  }

  get maxPayload(): number {
    return this.nc.info?.max_payload ?? 1024 * 1024;
  }

  status(): SessionStatus {
    const info = this.nc.info;
    return {
      connected: this.connected,
      server: this.connected ? this.nc.getServer() : undefined,
      serverVersion: info?.version,
      clusterSize: this.#clusterSize(),
      reconnects: this.#reconnects,
    };
  }

  /** Distinct addresses that the server announces; one machine may announce a server twice, never a server less. */
  #clusterSize(): number {
    const info = this.nc.info;
    if (info?.cluster === undefined || info.cluster === '') return 1;
    const announced = new Set(
      (info.connect_urls ?? []).map((url) => url.replace(/^\[?::1?\]?:|^localhost:/, '127.0.0.1:')),
    );
    return Math.max(1, announced.size, this.servers.split(',').length);
  }

  watch(options: { signal?: AbortSignal | undefined } = {}): AsyncIterableIterator<SessionEvent> {
    return this.#events.watch({ ...options, first: [this.#present()] });
  }

  #present(): SessionEvent {
    if (this.closing.aborted) return { type: 'closed', error: this.#closedWith };
    if (this.#up) return { type: 'connected', server: this.nc.getServer() };
    return { type: 'disconnected', reason: 'not connected yet' };
  }

  async #follow(): Promise<void> {
    for await (const status of this.nc.status()) {
      if (status.type === 'disconnect') this.#down(`connection to ${status.server} lost`);
      else if (status.type === 'staleConnection') this.env.log.warn('nats_stale_connection');
      else if (status.type === 'reconnect') this.#restored(status.server);
      else if (status.type === 'error') {
        this.env.log.warn('nats_server_error', { error: status.error.message });
        this.#answers.refused(status.error);
      }
    }
  }

  #down(reason: string): void {
    if (!this.#up) return;
    this.#up = false;
    this.#breakAll(new LinkBroken(reason));
    this.env.log.warn('nats_disconnected', { reason });
    this.#events.send({ type: 'disconnected', reason });
  }

  #restored(server: string): void {
    if (this.#up || this.closing.aborted) return;
    this.#up = true;
    this.#reconnects += 1;
    this.env.log.info('nats_connected', { server });
    this.#events.send({ type: 'connected', server });
    for (const wake of this.#waiters) wake();
  }

  /** Calls `run` once when the connection breaks or the session closes. Returns how to take that back. */
  onBroken(run: (error: Error) => void): () => void {
    this.#onBroken.add(run);
    return () => void this.#onBroken.delete(run);
  }

  #breakAll(error: Error): void {
    const listeners = [...this.#onBroken];
    this.#onBroken.clear();
    for (const run of listeners) run(error);
    this.#answers.breakAll(error);
  }

  /** Resolves when connected. Throws NATS_UNREACHABLE after `timeoutMs`, NATS_CLOSED when the session ends. */
  async whenConnected(timeoutMs: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.requireOpen();
    if (this.#up) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = this.env.clock.timer(timeoutMs, () =>
      reject(natsErrors.create('NATS_UNREACHABLE', { servers: this.servers })),
    );
    this.#waiters.add(resolve);
    try {
      await abortable(promise, signal);
    } finally {
      timer.cancel();
      this.#waiters.delete(resolve);
    }
    this.requireOpen();
  }

  requireOpen(): void {
    if (this.closing.aborted) throw natsErrors.create('NATS_CLOSED', {}, this.#closedWith);
  }

  /** One request on the present connection. Throws what nats.js throws, LinkBroken, or the signal's reason. */
  async request(subject: string, data: Uint8Array, options: RequestOptions): Promise<Msg> {
    options.signal?.throwIfAborted();
    this.requireOpen();
    return this.#answers.ask(subject, data, options);
  }

  /** Marks the link closed and ends every watch. Does not touch the connection. */
  shut(error?: Error): void {
    if (this.closing.aborted) return;
    this.#closedWith = error;
    this.#up = false;
    this.#closing.abort(natsErrors.create('NATS_CLOSED', {}, error));
    this.#breakAll(new LinkBroken('session closed'));
    this.#events.send({ type: 'closed', error });
    this.#events.close();
    for (const wake of this.#waiters) wake();
  }

  /** The CanopyError for a failure that no retry mends, else undefined. */
  terminal(operation: string, error: unknown): Error | undefined {
    if (this.closing.aborted) return natsErrors.create('NATS_CLOSED', {}, this.#closedWith);
    switch (transportFault(error)) {
      case 'permission':
        return natsErrors.create('NATS_PERMISSION', { operation }, error);
      case 'closed':
        return natsErrors.create('NATS_CLOSED', {}, error);
      case 'auth':
        return natsErrors.create('NATS_AUTH', { servers: this.servers }, error);
      default:
        return undefined;
    }
  }
}

/** What is left of a call's time. */
export class Budget {
  readonly #env: Env;
  readonly #end: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;

  constructor(env: Env, timeoutMs: number, signal: AbortSignal | undefined) {
    this.#env = env;
    this.timeoutMs = timeoutMs;
    this.signal = signal;
    this.#end = env.clock.monotonic() + timeoutMs;
  }

  get leftMs(): number {
    return this.#end - this.#env.clock.monotonic();
  }

  get spent(): boolean {
    return this.leftMs < 1;
  }

  expired(operation: string): Error {
    return coreErrors.create('DEADLINE_EXCEEDED', { operation, timeoutMs: Math.round(this.timeoutMs) });
  }
}
