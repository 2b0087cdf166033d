/** A backend in this process: POST commits its body to the database of its node, GET answers who it is. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
  type Backend,
  type BackendContext,
  type BackendEvent,
  type BackendProvider,
  type BackendState,
  type BackendStatus,
  Broadcast,
} from '@canopy/core';
import type { FakeDatabases } from './database.ts';

export class FakeBackend implements Backend {
  readonly #node: string;
  readonly #databases: FakeDatabases | undefined;
  readonly #events = new Broadcast<BackendEvent>();
  readonly calls: string[] = [];
  state: BackendState = 'stopped';
  startError: Error | undefined;
  #server: Server | undefined;

  constructor(node: string, databases: FakeDatabases | undefined) {
    this.#node = node;
    this.#databases = databases;
  }

  get isRunning(): boolean {
    return this.#server !== undefined;
  }

  async sweep(): Promise<void> {
    this.calls.push('sweep');
  }

  async start({ signal }: { signal: AbortSignal }): Promise<void> {
    this.calls.push('start');
    signal.throwIfAborted();
    if (this.startError !== undefined) throw this.startError;
    const server = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      try {
        if (request.method === 'POST') this.#databases?.latest.commit(Buffer.concat(chunks).toString());
        response.end(this.#node);
      } catch (error) {
        response.statusCode = 500;
        response.end(String(error));
      }
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    this.#server = server;
    this.state = 'running';
  }

  async stop(options: { graceMs?: number } = {}): Promise<void> {
    this.calls.push(`stop ${options.graceMs}`);
    const server = this.#server;
    this.#server = undefined;
    this.state = 'stopped';
    if (server === undefined) return;
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }

  async health(): Promise<{ healthy: boolean; detail: string | undefined }> {
    return { healthy: this.isRunning, detail: undefined };
  }

  status(): BackendStatus {
    const port = (this.#server?.address() as AddressInfo | undefined)?.port;
    return {
      state: this.state,
      pid: undefined,
      address: port === undefined ? undefined : `http://127.0.0.1:${port}`,
      startedAt: undefined,
      restarts: 0,
      lastExit: undefined,
      problem: undefined,
    };
  }

  watch(options: { signal?: AbortSignal | undefined } = {}): AsyncIterable<BackendEvent> {
    return this.#events.watch(options);
  }

  /** As if it could not be kept running. */
  break(error: Error): void {
    this.state = 'failed';
    this.#events.send({ type: 'failed', error });
  }
}

export class FakeBackends implements BackendProvider {
  readonly kind = 'fake';
  readonly #databases: FakeDatabases | undefined;
  readonly opened: FakeBackend[] = [];

  constructor(databases?: FakeDatabases) {
    this.#databases = databases;
  }

  open(context: BackendContext): Backend {
    const backend = new FakeBackend(context.node, this.#databases);
    this.opened.push(backend);
    return backend;
  }

  get latest(): FakeBackend {
    return this.opened.at(-1) as FakeBackend;
  }
}
