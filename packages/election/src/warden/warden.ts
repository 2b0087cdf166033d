/**
 * The parent's side of the warden: keeps one warden process alive while this runs, and brings each new one up to date.
 * Invariant: a call on a lease resolves only after a living warden process has confirmed the state it asks for.
 */
import {
  Broadcast,
  backoffMs,
  type ConnectionSpec,
  type Counter,
  type Env,
  Lifecycle,
  type StartOptions,
  TaskGroup,
  withDeadline,
} from '@canopy/core';
import { wardenErrors } from './errors.ts';
import { WARDEN_FENCES, WARDEN_RESTARTS } from './metrics.ts';
import type { WardenOperation, WardenReport } from './protocol.ts';
import { type ChildAnswer, WardenChild } from './warden-child.ts';
import { WardenLease } from './warden-lease.ts';

const START_MS = 15_000;
const RESPAWN = { initialMs: 20, maxMs: 1000 };
/** On top of the drain time, for the warden's own end. */
const STOP_MS = 2000;

export interface WardenStopOptions {
  /** Bound on the wait for the warden's end. Default the drain time and 2 s. */
  readonly timeoutMs?: number | undefined;
}

export interface WardenOptions {
  /** How the warden reaches NATS by itself. */
  readonly connection: ConnectionSpec;
  /** Names its connection: `canopy-warden-<node>`. */
  readonly node: string;
  /** What `drain` processes get between SIGTERM and SIGKILL when this process has died. Default 1500 ms. */
  readonly drainMs?: number;
}

export type WardenEvent =
  | { readonly type: 'started'; readonly pid: number | undefined }
  | { readonly type: 'exited'; readonly reason: string }
  /** It ended what ran under the lease because the deadline passed without a newer one. */
  | {
      readonly type: 'fenced';
      readonly lease: string;
      readonly killed: readonly string[];
      readonly gone: boolean;
      readonly lateMs: number;
      readonly ms: number;
    }
  | { readonly type: 'link'; readonly connected: boolean; readonly detail: string };

/**
 * Guards the leases of this process and what runs under them. `start()` resolves when the warden process takes requests
 * (it need not have reached NATS yet); WARDEN_START_FAILED otherwise. `stop()` ends what is still registered, fences the
 * leases that are still held, and releases nothing. A fence that takes longer than the stop may is left to the warden
 * process, which ends by itself when it is done.
 */
export class Warden extends Lifecycle {
  readonly #options: Required<WardenOptions>;
  readonly #env: Env;
  readonly #leases = new Map<string, WardenLease>();
  readonly #events = new Broadcast<WardenEvent>({ capacity: 256 });
  readonly #tasks: TaskGroup;
  readonly #restarts: Counter;
  readonly #fences: Counter;
  /** The process that takes requests; undefined while it is being replaced. */
  #current: WardenChild | undefined;
  /** Settles when the process now being made knows the state of every lease. */
  #synced = Promise.withResolvers<void>();
  #isSynced = false;
  #answers = new Map<WardenLease, ChildAnswer>();
  #stopOptions: WardenStopOptions = {};

  constructor(options: WardenOptions, env: Env) {
    super('warden');
    this.#options = { drainMs: 1500, ...options };
    this.#env = { ...env, log: env.log.with({ node: options.node }) };
    this.#tasks = new TaskGroup((error) => this.fail(error));
    this.#restarts = env.metrics.counter(WARDEN_RESTARTS);
    this.#fences = env.metrics.counter(WARDEN_FENCES);
    this.#synced.promise.catch(() => {});
  }

  /** The warden's process id, undefined while it is being replaced. */
  get pid(): number | undefined {
    return this.#current?.pid;
  }

  /** The lease of this name; the same object for the same name. Its calls work while the warden runs. */
  lease(id: string): WardenLease {
    let lease = this.#leases.get(id);
    if (lease === undefined) {
      lease = new WardenLease(id, this.#env, (from, operation) => this.#deliver(from, operation));
      this.#leases.set(id, lease);
    }
    return lease;
  }

  /** Drops a lease that is held no more, and its fences: the next `lease(id)` is a new one. A held one stays. */
  async forget(id: string): Promise<void> {
    const lease = this.#leases.get(id);
    if (lease === undefined || lease.isHeld) return;
    this.#leases.delete(id);
    if (this.state === 'running') await lease.fences([]).catch(() => {});
  }

  /** What happens from now on. A reader that falls 256 events behind loses the oldest. */
  watch(options: { signal?: AbortSignal | undefined } = {}): AsyncIterable<WardenEvent> {
    return this.#events.watch(options);
  }

  override stop(options: WardenStopOptions = {}): Promise<void> {
    if (this.state !== 'stopping' && this.state !== 'stopped') this.#stopOptions = options;
    return super.stop();
  }

  protected async onStart(options: StartOptions): Promise<void> {
    const child = await this.#spawn(options.signal);
    this.#tasks.run('warden', (signal) => this.#keepAlive(child, signal));
  }

  protected async onStop(): Promise<void> {
    const child = this.#current;
    this.#synced.reject(wardenErrors.create('WARDEN_STOPPED', { lease: 'all' }));
    const stopped = this.#tasks.stop();
    if (child !== undefined) {
      const leases = [...this.#leases.values()];
      // Whoever stops the warden lives: what is still held is not released behind its back.
      for (const lease of leases) void child.request({ op: lease.isHeld ? 'keep' : 'clear', lease: lease.id });
      child.end();
      const enough = this.#options.drainMs + STOP_MS;
      const { timeoutMs = enough } = this.#stopOptions;
      const bound = Math.min(timeoutMs, enough);
      await withDeadline(this.#env.clock, 'warden end', bound, child.exited).catch(() => {
        // It still works, or may: a fence that nobody watches would be worse than a process that outlives this stop.
        if (bound < enough || leases.some((lease) => lease.isHeld)) child.leave();
        else child.kill();
      });
      await child.exited;
    }
    await stopped;
    this.#current = undefined;
    this.#events.close();
  }

  protected override onNeverStarted(): void {
    this.#events.close();
  }

  async #spawn(signal: AbortSignal | undefined): Promise<WardenChild> {
    const { connection, node, drainMs } = this.#options;
    const child = new WardenChild({ op: 'configure', connection, node, drainMs }, this.#env, {
      report: (report) => this.#onReport(report),
      ended: (reason) => {
        if (this.#current === child) this.#onChildEnded(reason);
      },
    });
    const kill = (): void => child.kill();
    signal?.addEventListener('abort', kill, { once: true });
    if (signal?.aborted) kill();
    try {
      await withDeadline(this.#env.clock, 'warden start', START_MS, child.ready);
    } catch (error) {
      child.kill();
      await child.exited;
      throw error;
    } finally {
      signal?.removeEventListener('abort', kill);
    }
    this.#current = child;
    this.#events.send({ type: 'started', pid: child.pid });
    await this.#bringUpToDate(child);
    return child;
  }

  /** Replays every lease. The lines are written before any later request, so the order on the pipe is right. */
  async #bringUpToDate(child: WardenChild): Promise<void> {
    const answers = new Map<WardenLease, ChildAnswer>();
    const replays = [...this.#leases.values()].map(async (lease) => {
      const [first, ...rest] = await Promise.all(lease.operations().map((operation) => child.request(operation)));
      answers.set(
        lease,
        [first, ...rest].find((answer) => answer !== undefined && answer !== 'gone'),
      );
    });
    await Promise.all(replays);
    if ([...answers.values()].includes('ended')) return;
    for (const [lease, answer] of answers) if (answer === undefined) lease.guarded();
    this.#answers = answers;
    this.#isSynced = true;
    this.#synced.resolve();
  }

  async #keepAlive(first: WardenChild, signal: AbortSignal): Promise<void> {
    let child: WardenChild | undefined = first;
    for (let attempt = 0; !signal.aborted; attempt++) {
      if (child !== undefined) {
        await child.exited;
        if (signal.aborted) return;
        attempt = 0;
      }
      child = await this.#spawn(signal).catch((error: Error) => {
        this.#env.log.error('warden_start_failed', { error: error.message });
        return undefined;
      });
      if (child === undefined) await this.#env.clock.sleep(backoffMs(attempt, RESPAWN, this.#env.random), { signal });
    }
    // Stopped while a replacement was being made: onStop knew nothing of it.
    child?.end();
    await child?.exited;
  }

  /** Runs before the calls that were under way hear of it, so that they wait for the successor. */
  #onChildEnded(reason: string): void {
    this.#current = undefined;
    if (this.#isSynced) {
      this.#isSynced = false;
      this.#synced = Promise.withResolvers<void>();
      this.#synced.promise.catch(() => {});
    }
    if (this.state === 'stopping') return;
    for (const lease of this.#leases.values()) lease.unguarded();
    this.#restarts.add();
    this.#env.log.warn('warden_exited', { reason });
    this.#events.send({ type: 'exited', reason });
  }

  async #deliver(lease: WardenLease, operation: WardenOperation): Promise<ChildAnswer> {
    if (this.state !== 'running') {
      if (operation.op === 'clear' || operation.op === 'unregister') return undefined;
      throw wardenErrors.create('WARDEN_STOPPED', { lease: lease.id });
    }
    const answer = this.#current === undefined ? 'ended' : await this.#current.request(operation);
    if (answer !== 'ended') return answer;
    // The state asked for is part of what the next process is told.
    await this.#synced.promise;
    return this.#answers.get(lease);
  }

  #onReport(report: WardenReport): void {
    if (report.type === 'link') {
      const { connected, detail } = report;
      this.#env.log[connected ? 'info' : 'warn']('warden_link', { connected, detail });
      this.#events.send(report);
    } else if (report.type === 'fenced') {
      const { lease, killed, gone, lateMs, ms } = report;
      this.#fences.add();
      this.#env.log.error('warden_fenced', { lease, killed, gone, lateMs, ms });
      this.#events.send({ type: 'fenced', lease, killed, gone, lateMs, ms });
    }
  }
}
