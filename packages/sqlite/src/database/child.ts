/**
 * One database process as its parent sees it: started, registered with the guard before it may work, called by number,
 * ended within a bound. Invariant: every call settles, if by nothing else then by the process's end.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import {
  type DatabaseEvent,
  type DatabaseStatus,
  type Env,
  identifyProcess,
  type Position,
  type ProcessGuard,
  type ProcessId,
} from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import {
  type CallMethod,
  type DatabaseSpec,
  decodeError,
  decodeEvent,
  type FromDatabase,
  type ToDatabase,
} from '../process/protocol.ts';

/** Beside us, as source or as built. */
const EXTENSION = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const PROGRAM = fileURLToPath(new URL(`../process/main.${EXTENSION}`, import.meta.url));
/**
 * Small young generation, small threads pool: the process is idle most of the time and there is one per database. Large
 * streams are collected behind while they run (`gc`).
 */
const NODE_FLAGS = ['--max-semi-space-size=2', '--single-threaded-gc', '--v8-pool-size=1', '--expose-gc'];
/** Bytes of the process's error output that are kept for the message about its end. */
const STDERR_KEPT = 2000;

export interface ChildHooks {
  onStatus(status: DatabaseStatus): void;
  onEvent(event: DatabaseEvent): void;
  /** The process ended without having been asked to. */
  onDeath(error: Error): void;
}

interface PendingCall {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly onShipped: ((position: Position) => void) | undefined;
}

export class DatabaseChild {
  readonly #process: ChildProcess;
  readonly #id: ProcessId;
  readonly #spec: DatabaseSpec;
  readonly #env: Env;
  readonly #guard: ProcessGuard;
  readonly #hooks: ChildHooks;
  readonly #calls = new Map<number, PendingCall>();
  readonly #ended = Promise.withResolvers<void>();
  #nextCall = 1;
  #stopping = false;
  #gone = false;
  #stderr = '';

  private constructor(
    child: ChildProcess,
    id: ProcessId,
    spec: DatabaseSpec,
    env: Env,
    guard: ProcessGuard,
    hooks: ChildHooks,
  ) {
    this.#process = child;
    this.#id = id;
    this.#spec = spec;
    this.#env = env;
    this.#guard = guard;
    this.#hooks = hooks;
    this.#listen();
  }

  /** Resolves once the process runs, is known to the guard and has been told what to open. */
  static async spawn(spec: DatabaseSpec, env: Env, guard: ProcessGuard, hooks: ChildHooks): Promise<DatabaseChild> {
    // A group of its own: what the terminal sends to ours (SIGINT, SIGHUP) must not end it before the last commit is shipped.
    const child = spawn(process.execPath, [...NODE_FLAGS, PROGRAM], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      serialization: 'advanced',
      detached: true,
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    const id = identifyProcess(child.pid as number) ?? { pid: child.pid as number, startTicks: 0 };
    const self = new DatabaseChild(child, id, spec, env, guard, hooks);
    try {
      await guard.register({ ...id, kind: 'drain', label: 'database' });
      self.#send({ type: 'open', spec });
    } catch (error) {
      await self.kill();
      throw error;
    }
    return self;
  }

  get pid(): number {
    return this.#id.pid;
  }

  /** Rejects with the process's error, or SQLITE_PROCESS_DIED. An abort is passed on; the answer is still awaited. */
  call(
    method: CallMethod,
    argument: unknown,
    options: { signal?: AbortSignal | undefined; onShipped?: ((position: Position) => void) | undefined } = {},
  ): Promise<unknown> {
    if (this.#gone) return Promise.reject(this.#died('it is gone'));
    const { signal, onShipped } = options;
    const id = this.#nextCall++;
    const onAbort = (): void => this.#send({ type: 'abort', id, reason: String(signal?.reason) });
    const result = new Promise<unknown>((resolve, reject) => this.#calls.set(id, { resolve, reject, onShipped }));
    this.#send({ type: 'call', id, method, argument });
    if (signal?.aborted) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
    return result.finally(() => signal?.removeEventListener('abort', onAbort));
  }

  /** Asks it to end, then SIGTERM, then SIGKILL; resolves when it is gone. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    this.call('stop', undefined).catch(() => {});
    await this.#waitGone(graceMs);
    if (!this.#gone) this.#process.kill('SIGTERM');
    await this.#waitGone(2000);
    await this.kill();
  }

  async kill(): Promise<void> {
    this.#stopping = true;
    if (!this.#gone) this.#process.kill('SIGKILL');
    await this.#ended.promise;
  }

  async #waitGone(ms: number): Promise<void> {
    if (this.#gone) return;
    const waiting = Promise.withResolvers<void>();
    const timer = this.#env.clock.timer(ms, () => waiting.resolve());
    await Promise.race([this.#ended.promise, waiting.promise]);
    timer.cancel();
  }

  #listen(): void {
    this.#process.on('message', (message) => this.#receive(message as FromDatabase));
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_KEPT);
    });
    // An EPIPE on the channel of a dying process: its exit is what counts.
    this.#process.on('error', () => {});
    this.#process.once('exit', (code, signal) => {
      this.#gone = true;
      this.#guard.unregister(this.#id).catch(() => {});
      const error = this.#died(signal === null ? `exit code ${code}` : `signal ${signal}`);
      for (const call of this.#calls.values()) call.reject(error);
      this.#calls.clear();
      this.#ended.resolve();
      if (!this.#stopping) this.#hooks.onDeath(error);
    });
  }

  #receive(message: FromDatabase): void {
    if (message.type === 'status') this.#hooks.onStatus(message.status);
    else if (message.type === 'event') this.#hooks.onEvent(decodeEvent(message.event));
    else if (message.type === 'log') this.#env.log[message.level](message.event, message.fields);
    else if (message.type === 'shipped') this.#calls.get(message.id)?.onShipped?.(message.position);
    else {
      const call = this.#calls.get(message.id);
      this.#calls.delete(message.id);
      if (message.type === 'result') call?.resolve(message.value);
      else call?.reject(decodeError(message.error));
    }
  }

  #send(message: ToDatabase): void {
    if (this.#gone || !this.#process.connected) return;
    this.#process.send(message, () => {});
  }

  #died(how: string): Error {
    const output = this.#stderr.trim();
    return sqliteErrors.create('SQLITE_PROCESS_DIED', {
      path: this.#spec.path,
      how,
      ...(output === '' ? {} : { output }),
    });
  }
}
