/** One node of a play cluster: `canopy run` as an operating-system process of its own, with its log in a file. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Clock, makeDirectory } from '@canopy/core';
import { cliErrors } from '../errors.ts';

const ENTRY = fileURLToPath(new URL('../../bin/canopy.js', import.meta.url));

export interface NodeProcessOptions {
  readonly name: string;
  readonly configFile: string;
  readonly logFile: string;
  readonly httpUrl: string;
  readonly clock: Clock;
}

export interface NodeProcessExit {
  readonly code: number | undefined;
  readonly signal: string | undefined;
}

/** As much of a node's /status as is looked at here. */
export interface NodeStatusView {
  readonly node: string;
  readonly pid: number;
  readonly nats: { readonly connected: boolean };
  readonly members: readonly { readonly id: string; readonly health: string }[];
}

export class NodeProcess {
  readonly name: string;
  readonly httpUrl: string;
  readonly logFile: string;
  readonly #options: NodeProcessOptions;
  #child: ChildProcess | undefined;
  #exited = Promise.withResolvers<NodeProcessExit>();

  constructor(options: NodeProcessOptions) {
    this.name = options.name;
    this.httpUrl = options.httpUrl;
    this.logFile = options.logFile;
    this.#options = options;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get running(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves when the present life, or without one the next, has ended; never rejects. */
  get exited(): Promise<NodeProcessExit> {
    return this.#exited.promise;
  }

  /** Starts the process; does not wait until it is ready. */
  spawn(): void {
    makeDirectory(dirname(this.logFile));
    if (this.#child !== undefined) this.#exited = Promise.withResolvers();
    const { resolve } = this.#exited;
    const log = openSync(this.logFile, 'a');
    try {
      this.#child = spawn(
        process.execPath,
        [ENTRY, 'run', '--config', this.#options.configFile, '--parent-pipe', '3'],
        {
          // Its own group: ctrl-C reaches `canopy up` alone, which then stops its nodes in order.
          detached: true,
          stdio: ['ignore', log, log, 'pipe'],
        },
      );
    } finally {
      closeSync(log);
    }
    this.#child.once('exit', (code, signal) => resolve({ code: code ?? undefined, signal: signal ?? undefined }));
    this.#child.once('error', () => resolve({ code: undefined, signal: undefined }));
    // The pipe's other end only ever says that we are gone; it must not keep us alive.
    (this.#child.stdio[3] as unknown as { unref(): void; on(event: 'error', run: () => void): void }).on(
      'error',
      () => {},
    );
    (this.#child.stdio[3] as unknown as { unref(): void }).unref();
  }

  /** Resolves when the node has joined; NODE_START_FAILED with the end of its log when it ends or takes too long. */
  async ready(timeoutMs = 60_000, signal?: AbortSignal): Promise<void> {
    const until = this.#options.clock.monotonic() + timeoutMs;
    while (!(await this.#isReady())) {
      signal?.throwIfAborted();
      if (!this.running) throw this.#failed('it ended');
      if (this.#options.clock.monotonic() > until) throw this.#failed(`it was not ready within ${timeoutMs} ms`);
      await this.#options.clock.sleep(40, { signal });
    }
  }

  /** SIGTERM, then SIGKILL after `graceMs`; resolves when the process is gone. */
  async stop(graceMs = 15_000): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.running) return;
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    const timer = this.#options.clock.timer(graceMs, () => child.kill('SIGKILL'));
    await exited;
    timer.cancel();
  }

  logTail(lines = 12): string {
    try {
      return readFileSync(this.logFile, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
    } catch {
      return '';
    }
  }

  /** Ready, and it is this process that says so: a port may have gone to a stranger. */
  async #isReady(): Promise<boolean> {
    if ((await fetchJson(`${this.httpUrl}/ready`)) === undefined) return false;
    return (await this.status()) !== undefined;
  }

  /** What it says of itself; undefined when it does not answer within a second. */
  async status(): Promise<NodeStatusView | undefined> {
    const status = (await fetchJson(`${this.httpUrl}/status`)) as NodeStatusView | undefined;
    return status?.pid === this.pid ? status : undefined;
  }

  #failed(what: string): Error {
    const tail = this.logTail(3);
    return cliErrors.create('NODE_START_FAILED', {
      node: this.name,
      reason: `${what}${tail === '' ? '' : `; the end of its log:\n${tail}`}`,
      logFile: this.logFile,
    });
  }
}

/** The JSON document at `url` when it is answered with 2xx, else undefined. */
async function fetchJson(url: string): Promise<unknown> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(1000) });
    const body: unknown = await response.json();
    return response.ok ? body : undefined;
  } catch {
    return undefined;
  }
}
