/**
 * A TCP proxy on 127.0.0.1 that makes a connection slow, half-open, broken or impossible. Bytes are held back, never
 * lost or reordered, as a network that retransmits would do: a connection that outlives a fault is intact.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { type Clock, systemClock } from '@canopy/core';
import { freePort } from './free-port.ts';
import { Pump } from './pump.ts';

/** `up`: from the client to the server. */
export type Direction = 'up' | 'down' | 'both';

interface Link {
  readonly client: Socket;
  readonly server: Socket;
  readonly up: Pump;
  readonly down: Pump;
}

export class TcpProxy implements AsyncDisposable {
  readonly port: number;
  readonly #target: { readonly host: string; readonly port: number };
  readonly #clock: Clock;
  readonly #links = new Set<Link>();
  readonly #held = { up: false, down: false };
  readonly #delayMs = { up: 0, down: 0 };
  #listener: Server | undefined;

  private constructor(target: { host: string; port: number }, port: number, clock: Clock) {
    this.#target = target;
    this.port = port;
    this.#clock = clock;
  }

  /** Starts to forward to `target`: a URL such as `nats://127.0.0.1:4222`, or host and port. */
  static async start(
    target: string | { readonly host: string; readonly port: number },
    options: { clock?: Clock } = {},
  ): Promise<TcpProxy> {
    const to = typeof target === 'string' ? parseTarget(target) : target;
    for (let tries = 1; ; tries++) {
      const proxy = new TcpProxy(to, await freePort(), options.clock ?? systemClock);
      try {
        await proxy.#listen();
        return proxy;
      } catch (error) {
        if (tries === 5) throw error;
      }
    }
  }

  /**
   * `nats://127.0.0.1:port`. A client of a cluster learns the other servers' real addresses; give it
   * `ignoreClusterUpdates` to keep it on the proxy.
   */
  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  /** Connections being forwarded. */
  get connections(): number {
    return this.#links.size;
  }

  /** Every byte arrives that much later, from now on. */
  delay(ms: number, direction: Direction = 'both'): void {
    for (const way of ways(direction)) {
      this.#delayMs[way] = ms;
      for (const link of this.#links) link[way].delayMs = ms;
    }
  }

  /** Nothing gets through that way any more; connections stay open, new ones are accepted. heal() lets all of it pass. */
  drop(direction: Direction = 'both'): void {
    for (const way of ways(direction)) {
      this.#held[way] = true;
      for (const link of this.#links) link[way].hold();
    }
  }

  /** Resets every connection; new ones are welcome. */
  cut(): void {
    for (const link of [...this.#links]) this.#reset(link);
  }

  /** Resets every connection and refuses new ones. */
  async refuse(): Promise<void> {
    const listener = this.#listener;
    this.#listener = undefined;
    const closed = listener === undefined ? Promise.resolve() : new Promise((resolve) => listener.close(resolve));
    this.cut();
    await closed;
  }

  /** No fault any more: no delay, held bytes pass, connections are accepted. */
  async heal(): Promise<void> {
    this.delay(0);
    this.#held.up = this.#held.down = false;
    for (const link of this.#links) for (const pump of [link.up, link.down]) pump.release();
    if (this.#listener === undefined) await this.#listen();
  }

  /** Ends the proxy and its connections. */
  async stop(): Promise<void> {
    await this.refuse();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #listen(): Promise<void> {
    const listener = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#accept(client));
    await new Promise<void>((resolve, reject) => {
      listener.once('error', reject);
      listener.listen({ host: '127.0.0.1', port: this.port, exclusive: true }, resolve);
    });
    this.#listener = listener;
  }

  #accept(client: Socket): void {
    const server = connect({ ...this.#target, allowHalfOpen: true, noDelay: true });
    const link: Link = {
      client,
      server,
      up: new Pump(client, server, this.#clock, this.#delayMs.up),
      down: new Pump(server, client, this.#clock, this.#delayMs.down),
    };
    this.#links.add(link);
    for (const way of ways('both')) if (this.#held[way]) link[way].hold();
    for (const [socket, pump] of [
      [client, link.up],
      [server, link.down],
    ] as const) {
      socket.on('error', () => pump.breakOff(() => this.#reset(link)));
      socket.on('close', () => {
        if (client.destroyed && server.destroyed) this.#links.delete(link);
      });
    }
  }

  #reset(link: Link): void {
    this.#links.delete(link);
    for (const pump of [link.up, link.down]) pump.stop();
    for (const socket of [link.client, link.server]) socket.resetAndDestroy();
  }
}

function ways(direction: Direction): readonly ('up' | 'down')[] {
  return direction === 'both' ? ['up', 'down'] : [direction];
}

function parseTarget(url: string): { host: string; port: number } {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port === '' ? 4222 : port) };
}
