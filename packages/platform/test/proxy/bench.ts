/** Proxies with real backends and a route under the test's control. */
import { once } from 'node:events';
import {
  Agent,
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type RequestListener,
  type Server,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { systemEnv } from '@canopy/core';
import { memoryMetrics } from '@canopy/core/testing';
import { type ProxyOptions, resolveProxyOptions } from '../../src/proxy/options.ts';
import { AppProxy } from '../../src/proxy/proxy.ts';
import type { ProxyTarget, Route, ServingTerm } from '../../src/proxy/target.ts';

/** A route that the test sets. */
export class FakeTarget implements ProxyTarget {
  #route: Route = { kind: 'none' };
  readonly #waiting = new Set<() => void>();

  route(): Route {
    return this.#route;
  }

  set(route: Route): void {
    this.#route = route;
    for (const done of [...this.#waiting]) done();
  }

  changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#waiting.delete(done);
        resolve();
      };
      this.#waiting.add(done);
      signal.addEventListener('abort', done, { once: true });
    });
  }
}

export interface FakeTerm extends ServingTerm {
  valid: boolean;
  confirms: number;
  /** Replaced by tests that delay or refuse. */
  onConfirm: (signal: AbortSignal) => Promise<void>;
}

export function term(backend: string): FakeTerm {
  return {
    epoch: 1,
    backend,
    valid: true,
    confirms: 0,
    onConfirm: async () => {},
    isValid() {
      return this.valid;
    },
    confirm(signal) {
      this.confirms += 1;
      return this.onConfirm(signal);
    },
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export interface SendOptions {
  readonly method?: string;
  readonly path?: string;
  readonly body?: string | Buffer;
  readonly headers?: Record<string, string>;
}

/** Everything that a test opens, closed by `close`. */
export class Bench {
  readonly metrics = memoryMetrics();
  readonly #agent = new Agent({ keepAlive: true });
  readonly #closers: (() => Promise<void>)[] = [];

  /** Port of a backend with this handler. */
  async backend(handler: RequestListener): Promise<{ url: string; server: Server; close: () => Promise<void> }> {
    const server = createServer(handler);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const close = async (): Promise<void> => {
      server.closeAllConnections();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    };
    this.#closers.push(close);
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server, close };
  }

  async proxy(options: Partial<ProxyOptions> = {}): Promise<{ proxy: AppProxy; target: FakeTarget; address: string }> {
    const target = new FakeTarget();
    const proxy = new AppProxy(
      { app: 'x', target, options: resolveProxyOptions({ listen: 0, ...options }) },
      systemEnv({ metrics: this.metrics.metrics }),
    );
    this.#closers.push(() => proxy.stop());
    await proxy.start();
    return { proxy, target, address: `127.0.0.1:${proxy.port}` };
  }

  send(address: string, options: SendOptions = {}): Promise<Answer> {
    const { method = 'GET', path = '/', body } = options;
    // Stated, because Node frames the body of a DELETE in no way by itself.
    const headers = { ...(body === undefined ? {} : { 'content-length': String(body.length) }), ...options.headers };
    return new Promise((resolve, reject) => {
      const request = httpRequest(`http://${address}${path}`, { method, headers, agent: this.#agent }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks).toString(),
          }),
        );
      });
      request.on('error', reject);
      request.end(body);
    });
  }

  requests(outcome: string): number {
    return this.metrics.value('gc_proxy_requests_total', { app: 'x', outcome }) ?? 0;
  }

  async close(): Promise<void> {
    this.#agent.destroy();
    for (const close of this.#closers.splice(0).reverse()) await close();
  }
}

/** Reads a request's body. */
export async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

/** Polls until the condition holds; fails after 5 s. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const { clock } = systemEnv();
  const giveUpAt = clock.monotonic() + 5000;
  while (!condition()) {
    if (clock.monotonic() > giveUpAt) throw new Error(`never: ${what}`);
    await clock.sleep(5);
  }
}
