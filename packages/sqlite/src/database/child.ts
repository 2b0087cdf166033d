/**
 * One database in its process as the parent sees it: opened once the process is known to the guard, called by number,
 * ended within a bound. Invariant: every call settles, if by nothing else then by the process's end.
 */
import type { DatabaseEvent, DatabaseStatus, Env, Position, ProcessGuard, Timer } from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import {
  type CallMethod,
  type DatabaseSpec,
  decodeError,
  decodeEvent,
  type FromDatabase,
  type ToDatabase,
} from '../process/protocol.ts';
import { DatabaseProcess } from './database-process.ts';

/**
 * What a database that shares its process gets on top of the grace and its own lock timeout. Past it the process is ended,
 * and with it everybody who is in it: a file that was not let go of is worse than a moment's failure of the others.
 */
const SHARED_PATIENCE_MS = 5000;

export interface ChildHooks {
  onStatus(status: DatabaseStatus): void;
  onEvent(event: DatabaseEvent): void;
  /** The process ended without having been asked to. */
  onDeath(error: Error): void;
}

interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onShipped?: ((position: Position) => void) | undefined;
  readonly patienceMs?: number | undefined;
}

interface PendingCall {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly onShipped: ((position: Position) => void) | undefined;
}

export class DatabaseChild {
  readonly #process: DatabaseProcess;
  readonly #db: number;
  readonly #spec: DatabaseSpec;
  readonly #env: Env;
  readonly #guard: ProcessGuard;
  readonly #hooks: ChildHooks;
  readonly #calls = new Map<number, PendingCall>();
  readonly #gone = Promise.withResolvers<void>();
  #nextCall = 1;
  #stopping = false;
  #isGone = false;
  #output = '';

  private constructor(spec: DatabaseSpec, env: Env, guard: ProcessGuard, hooks: ChildHooks) {
    this.#spec = spec;
    this.#env = env;
    this.#guard = guard;
    this.#hooks = hooks;
    const { process, db } = DatabaseProcess.take(spec.options.process, {
      receive: (message) => this.#receive(message),
      onEnd: (how, output) => this.#onEnd(how, output),
    });
    this.#process = process;
    this.#db = db;
  }

  /** Resolves once the process runs, is known to the guard and has been told what to open. */
  static async spawn(spec: DatabaseSpec, env: Env, guard: ProcessGuard, hooks: ChildHooks): Promise<DatabaseChild> {
    const self = new DatabaseChild(spec, env, guard, hooks);
    try {
      await self.#process.admit(guard);
      self.#send({ type: 'open', spec });
    } catch (error) {
      self.#stopping = true;
      await self.#process.leave(self.#db, guard, env);
      throw error;
    }
    return self;
  }

  get pid(): number {
    return this.#process.pid;
  }

  /**
   * Rejects with the process's error, or SQLITE_PROCESS_DIED. An abort is passed on; the answer is still awaited, for
   * `patienceMs` where that is given: then SQLITE_PROCESS_SILENT.
   */
  call(method: CallMethod, argument: unknown, options: CallOptions = {}): Promise<unknown> {
    if (this.#isGone) return Promise.reject(this.#died('it is gone'));
    const { signal, onShipped, patienceMs } = options;
    const id = this.#nextCall++;
    let patience: Timer | undefined;
    const onAbort = (): void => {
      this.#send({ type: 'abort', id, reason: String(signal?.reason) });
      if (patienceMs !== undefined) patience = this.#env.clock.timer(patienceMs, () => this.#giveUp(id));
    };
    const result = new Promise<unknown>((resolve, reject) => this.#calls.set(id, { resolve, reject, onShipped }));
    this.#send({ type: 'call', id, method, argument });
    if (signal?.aborted) onAbort();
    else signal?.addEventListener('abort', onAbort, { once: true });
    return result.finally(() => {
      signal?.removeEventListener('abort', onAbort);
      patience?.cancel();
    });
  }

  #giveUp(id: number): void {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    call?.reject(sqliteErrors.create('SQLITE_PROCESS_SILENT', { path: this.#spec.path, pid: this.pid }));
  }

  /**
   * Asks the database to close, then SIGTERM, then SIGKILL for its process; resolves when it is closed, and where it was the
   * last one its process gone. Where others are in the process it gets longer, for only all of them can be ended. False
   * where it did not say that it has closed.
   */
  async stop(graceMs: number): Promise<boolean> {
    this.#stopping = true;
    const closed = this.call('stop', undefined).then(
      () => true,
      () => false,
    );
    const { process, lockTimeoutMs } = this.#spec.options;
    const patience = process === 'own' ? graceMs : graceMs + lockTimeoutMs + SHARED_PATIENCE_MS;
    const isClosed = await this.#within(patience, closed);
    if (!isClosed && !this.#isGone && process === 'shared') {
      this.#env.log.error('database_stop_stuck', { path: this.#spec.path });
      await this.#process.end(this.#env);
    }
    await this.#leave();
    return isClosed;
  }

  /** After a start that failed: nothing of it is open, or no other way is left than the process's end. */
  async discard(graceMs: number): Promise<void> {
    if (this.#spec.options.process === 'shared') return void (await this.stop(graceMs));
    this.#stopping = true;
    await this.#process.kill();
  }

  async #leave(): Promise<void> {
    await this.#process.leave(this.#db, this.#guard, this.#env);
    this.#onEnd('it was stopped', '');
  }

  /** False when the bound passes first, or the process ends. */
  async #within(ms: number, work: Promise<boolean>): Promise<boolean> {
    const waiting = Promise.withResolvers<boolean>();
    const timer = this.#env.clock.timer(ms, () => waiting.resolve(false));
    try {
      return await Promise.race([work, waiting.promise, this.#gone.promise.then(() => false)]);
    } finally {
      timer.cancel();
    }
  }

  #onEnd(how: string, output: string): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#output = output;
    const error = this.#died(how);
    for (const call of this.#calls.values()) call.reject(error);
    this.#calls.clear();
    this.#gone.resolve();
    if (!this.#stopping) this.#hooks.onDeath(error);
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
    if (!this.#isGone) this.#process.send(this.#db, message);
  }

  #died(how: string): Error {
    return sqliteErrors.create('SQLITE_PROCESS_DIED', {
      path: this.#spec.path,
      how,
      ...(this.#output === '' ? {} : { output: this.#output }),
    });
  }
}
