/**
 * What a node says over HTTP: /health (is it alive), /ready (may it be sent work), /status (everything), /metrics; and what a
 * program in any language asks of it: /apps/{app}/sync.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type Env, Lifecycle, messageOf } from '@canopy/core';
import type { DatabaseSynced } from '../control/protocol.ts';
import { listen } from './listen.ts';
import { answerSync, isSyncPath, type SyncCall } from './sync-request.ts';

const PATHS = ['/health', '/ready', '/status', '/metrics', '/apps/{app}/sync'];

export interface StatusSource {
  /** Undefined when alive, else what is wrong. */
  health(): string | undefined;
  /** Undefined when ready, else the reasons why not. */
  notReady(): readonly string[] | undefined;
  status(): unknown;
  /** Undefined when the metrics go elsewhere. */
  metrics(): Promise<{ text: string; contentType: string }> | undefined;
  /** What is committed in the app's database, on whatever node, is safe when it resolves. */
  sync(call: SyncCall): Promise<DatabaseSynced>;
}

export interface StatusServerOptions {
  readonly host: string;
  readonly port: number;
  readonly source: StatusSource;
}

export class StatusServer extends Lifecycle {
  readonly #options: StatusServerOptions;
  readonly #env: Env;
  readonly #server: Server;
  #port: number | undefined;

  constructor(options: StatusServerOptions, env: Env) {
    super('status server');
    this.#options = options;
    this.#env = env;
    this.#server = createServer({ requestTimeout: 10_000 }, (request, response) => void this.#serve(request, response));
    this.#server.maxConnections = 64;
  }

  get port(): number | undefined {
    return this.#port;
  }

  protected override async onStart(): Promise<void> {
    const { host, port } = this.#options;
    this.#port = await listen(this.#server, { host, port, option: 'http.port' });
  }

  protected override async onStop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '/').split('?')[0];
    try {
      if (isSyncPath(path as string)) await this.#sync(request, response);
      else if (request.method !== 'GET' && request.method !== 'HEAD') answer(response, 405, { error: 'only GET' });
      else if (path === '/health') this.#health(response);
      else if (path === '/ready') this.#ready(response);
      else if (path === '/status') answer(response, 200, this.#options.source.status());
      else if (path === '/metrics') await this.#metrics(response);
      else answer(response, 404, { error: 'not found', paths: PATHS });
    } catch (error) {
      this.#env.log.error('status_request_failed', { path, error: messageOf(error) });
      if (response.headersSent) response.destroy();
      else answer(response, 500, { error: 'failed; see the log of the node' });
    }
  }

  async #sync({ method, url = '' }: IncomingMessage, response: ServerResponse): Promise<void> {
    if (method !== 'POST') return answer(response, 405, { error: 'only POST' }, { allow: 'POST' });
    const { status, headers, body } = await answerSync(url, (call) => this.#options.source.sync(call));
    answer(response, status, body, headers);
  }

  #health(response: ServerResponse): void {
    const problem = this.#options.source.health();
    answer(response, problem === undefined ? 200 : 503, {
      status: problem === undefined ? 'passing' : 'critical',
      ...(problem === undefined ? {} : { problem }),
    });
  }

  #ready(response: ServerResponse): void {
    const reasons = this.#options.source.notReady();
    answer(response, reasons === undefined ? 200 : 503, {
      ready: reasons === undefined,
      ...(reasons === undefined ? {} : { reasons }),
    });
  }

  async #metrics(response: ServerResponse): Promise<void> {
    const metrics = await this.#options.source.metrics();
    if (metrics === undefined) {
      answer(response, 404, { error: 'this node keeps its metrics elsewhere' });
      return;
    }
    response.writeHead(200, { 'content-type': metrics.contentType });
    response.end(metrics.text);
  }
}

function answer(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  response.writeHead(status, { ...headers, 'content-type': 'application/json' });
  response.end(`${JSON.stringify(body, null, 2)}\n`);
}
