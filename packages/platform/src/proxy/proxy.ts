/**
 * The HTTP proxy of one app on one node: clients talk to any node and need not know who is active. It owns the listening
 * socket, the connections to backend and peers, and the bounds; each request is an Exchange.
 */
import { Agent, createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Env, Lifecycle } from '@canopy/core';
import { listen } from '../http/listen.ts';
import { Exchange, type ExchangeContext } from './exchange.ts';
import { proxyMetrics } from './metrics.ts';
import type { ResolvedProxyOptions } from './options.ts';
import type { ProxyTarget } from './target.ts';
import { tunnel } from './tunnel.ts';
import { WaitingRoom } from './waiting-room.ts';

/** Below the 5 s after which common servers close an idle connection: a request must not meet a closing one. */
const IDLE_SOCKET_MS = 4000;
const STOP_GRACE_MS = 5000;

export interface ProxyDeps {
  readonly app: string;
  readonly target: ProxyTarget;
  readonly options: ResolvedProxyOptions;
}

export class AppProxy extends Lifecycle {
  readonly #deps: ProxyDeps;
  readonly #env: Env;
  readonly #server: Server;
  readonly #context: ExchangeContext;
  readonly #tunnels = new Set<Duplex>();
  readonly #room: WaitingRoom;
  #inFlight = 0;
  #local = 0;
  #onIdle: (() => void)[] = [];
  #port: number | undefined;

  constructor(deps: ProxyDeps, env: Env) {
    super(`proxy of ${deps.app}`);
    this.#deps = deps;
    this.#env = env;
    const metrics = proxyMetrics(env.metrics);
    this.#room = new WaitingRoom({ app: deps.app, limit: deps.options.maxQueue, gauge: metrics.queue });
    this.#context = {
      app: deps.app,
      target: deps.target,
      options: deps.options,
      backendAgent: new Agent({ keepAlive: true, maxSockets: 512, timeout: IDLE_SOCKET_MS }),
      peerAgent: new Agent({ keepAlive: true, maxSockets: 512, timeout: IDLE_SOCKET_MS }),
      room: this.#room,
      metrics,
      env,
      onLocal: () => this.#beginLocal(),
    };
    this.#server = createServer({ keepAliveTimeout: 65_000 });
    this.#server.maxConnections = deps.options.maxConnections;
    this.#server.on('request', (request, response) => this.#serve(request, response, false));
    this.#server.on('checkContinue', (request, response) => this.#serve(request, response, true));
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
    this.#server.on('clientError', (_error, socket) => endBadClient(socket));
  }

  /** The port that it listens on; undefined before start. */
  get port(): number | undefined {
    return this.#port;
  }

  get queued(): number {
    return this.#room.count;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Resolves when the local backend works on no request any more, or after `timeoutMs`. */
  async drain(timeoutMs: number): Promise<void> {
    if (this.#local === 0) return;
    await new Promise<void>((resolve) => {
      const timer = this.#env.clock.timer(timeoutMs, resolve);
      this.#onIdle.push(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  protected override async onStart(): Promise<void> {
    const { host, port } = this.#deps.options;
    this.#port = await listen(this.#server, { host, port, option: `${this.#deps.app}.proxy.listen` });
  }

  /** Takes no new connections, lets what is under way end within 5 s, then cuts. */
  protected override async onStop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    for (const socket of this.#tunnels) socket.destroy();
    const force = this.#env.clock.timer(STOP_GRACE_MS, () => this.#server.closeAllConnections());
    // A connection that becomes idle after its last answer would otherwise stay open until its keep-alive ends.
    const sweep = (): void => {
      this.#server.closeIdleConnections();
      sweeper = this.#env.clock.timer(50, sweep);
    };
    let sweeper = this.#env.clock.timer(50, sweep);
    await closed;
    force.cancel();
    sweeper.cancel();
    this.#context.backendAgent.destroy();
    this.#context.peerAgent.destroy();
  }

  #serve(request: IncomingMessage, response: ServerResponse, wantsContinue: boolean): void {
    this.#inFlight += 1;
    if (this.state !== 'running') response.shouldKeepAlive = false;
    void new Exchange(this.#context, request, response, { wantsContinue }).run().finally(() => {
      this.#inFlight -= 1;
    });
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#track(socket);
    void tunnel(this.#context, request, socket, head, (upstream) => this.#track(upstream));
  }

  #track(socket: Duplex): void {
    this.#tunnels.add(socket);
    socket.once('close', () => this.#tunnels.delete(socket));
  }

  #beginLocal(): () => void {
    this.#local += 1;
    let isDone = false;
    return () => {
      if (isDone) return;
      isDone = true;
      this.#local -= 1;
      if (this.#local === 0) for (const idle of this.#onIdle.splice(0)) idle();
    };
  }
}

function endBadClient(socket: Duplex): void {
  if ((socket as Socket).destroyed || !socket.writable) return;
  socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
}
