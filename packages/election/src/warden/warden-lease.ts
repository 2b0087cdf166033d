/**
 * One lease as the parent knows it: the state the warden must have, whichever warden process is alive. Every call first
 * changes this state and then tells the warden, so that a replacement is brought up to date from here alone.
 */
import {
  type Env,
  type GuardedProcess,
  type ProcessGuard,
  type ProcessId,
  type Timer,
  withDeadline,
} from '@canopy/core';
import type { LeaseWatchdog } from '../api.ts';
import { wardenErrors } from './errors.ts';
import type { FenceCommand, HeldLease, WardenOperation } from './protocol.ts';
import type { ChildAnswer } from './warden-child.ts';

/** Bound on a call without a lease deadline, replacement of the warden included. */
const CALL_MS = 10_000;

/** Carries an operation to whichever warden process is alive, through a replacement if need be. */
export type Deliver = (lease: WardenLease, operation: WardenOperation) => Promise<ChildAnswer>;

export class WardenLease implements LeaseWatchdog, ProcessGuard {
  readonly id: string;
  readonly #env: Env;
  readonly #deliver: Deliver;
  readonly #processes = new Map<string, GuardedProcess>();
  #commands: readonly FenceCommand[] = [];
  #held: HeldLease | undefined;
  #term = 0;
  /** The latest deadline that a warden has confirmed. */
  #guardedUntil: number | undefined;
  #lost = new AbortController();
  #unguarded: Timer | undefined;

  /** Made by `Warden.lease`. */
  constructor(id: string, env: Env, deliver: Deliver) {
    this.id = id;
    this.#env = env;
    this.#deliver = deliver;
  }

  /**
   * Aborts with WARDEN_LOST when the warden died and none took its place before the deadline. A signal of one term:
   * after an abort `clear()` begins anew, with a new signal.
   */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Whether something may run under the lease still. */
  get isHeld(): boolean {
    return this.#held !== undefined;
  }

  /**
   * From now on the lease is guarded until `deadline`. Rejects with WARDEN_FENCED when the deadline has passed already,
   * WARDEN_LOST or WARDEN_UNAVAILABLE when no warden could be had in time, WARDEN_STOPPED. `token` (optional) lets the release after a
   * crash follow a renewal whose answer was never heard.
   */
  async hold(lease: HeldLease): Promise<void> {
    this.#lost.signal.throwIfAborted();
    const { bucket, key, revision, deadline, token } = lease;
    this.#held = { bucket, key, revision, deadline, ...(token === undefined ? {} : { token }) };
    const term = this.#term;
    const answer = await this.#call({ op: 'hold', lease: this.id, held: this.#held });
    if (term !== this.#term) return;
    if (answer === 'fenced') throw wardenErrors.create('WARDEN_FENCED', { lease: this.id });
    this.#guardedUntil = Math.max(this.#guardedUntil ?? 0, deadline);
  }

  /** Nothing is held any more; a `kill` process that is still registered is ended, because the lease may move now. */
  async clear(): Promise<void> {
    this.#held = undefined;
    this.#guardedUntil = undefined;
    this.#term += 1;
    this.guarded();
    if (this.#lost.signal.aborted) this.#lost = new AbortController();
    await this.#call({ op: 'clear', lease: this.id });
  }

  /**
   * A `kill` process may be registered only while the lease is held: WARDEN_NOT_HELD or WARDEN_FENCED otherwise, and the
   * process is ended. WARDEN_PROCESS_GONE when it has ended already; WARDEN_UNAVAILABLE, WARDEN_STOPPED.
   */
  async register(process: GuardedProcess): Promise<void> {
    const { pid, startTicks, kind, label } = process;
    const key = keyOf(process);
    this.#processes.set(key, { pid, startTicks, kind, label });
    try {
      const answer = await this.#call({ op: 'register', lease: this.id, pid, startTicks, kind, label });
      if (answer === 'gone') throw wardenErrors.create('WARDEN_PROCESS_GONE', { lease: this.id, pid });
      if (answer === 'fenced') throw wardenErrors.create('WARDEN_FENCED', { lease: this.id });
      if (answer === 'not_held') throw wardenErrors.create('WARDEN_NOT_HELD', { lease: this.id, pid });
    } catch (error) {
      this.#processes.delete(key);
      throw error;
    }
  }

  async unregister(process: ProcessId): Promise<void> {
    const { pid, startTicks } = process;
    this.#processes.delete(keyOf(process));
    await this.#call({ op: 'unregister', lease: this.id, pid, startTicks });
  }

  /**
   * From now on these programs are run, beside the registered processes, whenever the lease is fenced; the lease is
   * released after a crash only when all of them have ended with exit code 0 in time.
   */
  async fences(commands: readonly FenceCommand[]): Promise<void> {
    this.#commands = commands;
    await this.#call({ op: 'fences', lease: this.id, commands });
  }

  /** For the warden: everything that a new warden process must be told about this lease. */
  operations(): WardenOperation[] {
    const registrations = [...this.#processes.values()].map(
      ({ pid, startTicks, kind, label }): WardenOperation => ({
        op: 'register',
        lease: this.id,
        pid,
        startTicks,
        kind,
        label,
      }),
    );
    const fences: WardenOperation[] =
      this.#commands.length === 0 ? [] : [{ op: 'fences', lease: this.id, commands: this.#commands }];
    if (this.#held === undefined) return [...fences, ...registrations];
    return [...fences, { op: 'hold', lease: this.id, held: this.#held }, ...registrations];
  }

  /** For the warden: its process has died. Without another by the last confirmed deadline the lease is lost. */
  unguarded(): void {
    if (this.#held === undefined || this.#unguarded !== undefined) return;
    const until = this.#guardedUntil ?? this.#held.deadline;
    this.#unguarded = this.#env.clock.timer(until - this.#env.clock.monotonic(), () => this.#lose());
  }

  /** For the warden: a process knows this lease's present state again. */
  guarded(): void {
    this.#unguarded?.cancel();
    this.#unguarded = undefined;
    if (this.#held !== undefined) this.#guardedUntil = this.#held.deadline;
  }

  #lose(): void {
    if (!this.#lost.signal.aborted) this.#lost.abort(wardenErrors.create('WARDEN_LOST', { lease: this.id }));
  }

  async #call(operation: WardenOperation): Promise<ChildAnswer> {
    const timeoutMs = this.#boundOf(operation);
    const answer = this.#deliver(this, operation);
    try {
      return await withDeadline(this.#env.clock, `warden ${operation.op}`, timeoutMs, this.#orLost(operation, answer));
    } catch (error) {
      if (this.#lost.signal.aborted && operation.op === 'hold') throw this.#lost.signal.reason;
      if ((error as { code?: string }).code !== 'DEADLINE_EXCEEDED') throw error;
      throw wardenErrors.create('WARDEN_UNAVAILABLE', { lease: this.id, timeoutMs }, error);
    }
  }

  #boundOf(operation: WardenOperation): number {
    if (operation.op !== 'hold') return CALL_MS;
    // A little past the deadline, so that a warden's own refusal is heard first.
    return Math.min(CALL_MS, Math.max(0, operation.held.deadline - this.#env.clock.monotonic()) + 250);
  }

  /** A `hold` need not wait for an answer that can no longer matter. */
  #orLost(operation: WardenOperation, answer: Promise<ChildAnswer>): Promise<ChildAnswer> {
    if (operation.op !== 'hold') return answer;
    const { signal } = this.#lost;
    const lost = Promise.withResolvers<never>();
    const onAbort = (): void => lost.reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    return Promise.race([answer, lost.promise]).finally(() => signal.removeEventListener('abort', onAbort));
  }
}

function keyOf(process: ProcessId): string {
  return `${process.pid}:${process.startTicks}`;
}
