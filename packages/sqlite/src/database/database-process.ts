/**
 * A database process as its parent sees it: started, registered with a database's guard before that may be opened, told of
 * databases by number, ended when it has none left. `own` ones serve a single database; all that want a `shared` one are
 * in the same, as long as it lives. Invariants: a seat is taken in the same turn in which the process is chosen, so that
 * none is ended under who comes; its end is told to everybody who still has a seat.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type Env, identifyProcess, type ProcessGuard, type ProcessId } from '@canopy/core';
import type { Addressed, FromDatabase, ToDatabase } from '../process/protocol.ts';

/** Beside us, as source or as built. */
const EXTENSION = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const PROGRAM = fileURLToPath(new URL(`../process/main.${EXTENSION}`, import.meta.url));
/**
 * Small young generation, small threads pool: the process is idle most of the time, and there may be one per database.
 * Large streams are collected behind while they run (`gc`).
 */
const NODE_FLAGS = ['--single-threaded-gc', '--v8-pool-size=1', '--expose-gc'];
/** In MB. What many databases allocate in a while should die young, not be copied again and again. */
const SEMI_SPACE = { own: '--max-semi-space-size=2', shared: '--max-semi-space-size=16' } as const;
/** Bytes of the process's error output that are kept for the message about its end. */
const STDERR_KEPT = 2000;
/** Between SIGTERM, which lets it ship what is committed, and SIGKILL. */
const END_MS = 2000;

export interface Seat {
  receive(message: FromDatabase): void;
  /** The process is gone. `output`: the end of what it wrote to its error output. */
  onEnd(how: string, output: string): void;
}

/** The one that is shared now. */
let shared: DatabaseProcess | undefined;

export class DatabaseProcess {
  readonly #process: ChildProcess;
  readonly #started: Promise<void>;
  readonly #ended = Promise.withResolvers<void>();
  readonly #seats = new Map<number, Seat>();
  /** A guard knows a process once, however many databases it is asked for. */
  readonly #guards = new Map<ProcessGuard, { registered: Promise<void>; seats: number }>();
  #id: ProcessId | undefined;
  #nextSeat = 1;
  #gone = false;
  #stderr = '';

  /** The process and a seat in it. */
  static take(kind: 'own' | 'shared', seat: Seat): { process: DatabaseProcess; db: number } {
    const process = (kind === 'shared' ? shared : undefined) ?? new DatabaseProcess(kind);
    if (kind === 'shared') shared = process;
    const db = process.#nextSeat++;
    process.#seats.set(db, seat);
    return { process, db };
  }

  private constructor(kind: 'own' | 'shared') {
    // A group of its own: what the terminal sends to ours (SIGINT, SIGHUP) must not end it before the last commit is shipped.
    this.#process = spawn(process.execPath, [SEMI_SPACE[kind], ...NODE_FLAGS, PROGRAM], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      serialization: 'advanced',
      detached: true,
    });
    const started = Promise.withResolvers<void>();
    this.#started = started.promise;
    this.#started.catch(() => {});
    this.#process.once('spawn', () => {
      const pid = this.#process.pid as number;
      this.#id = identifyProcess(pid) ?? { pid, startTicks: 0 };
      started.resolve();
    });
    // Later on an EPIPE on the channel of a dying process: its exit is what counts.
    this.#process.on('error', (error) => {
      started.reject(error);
      if (this.#process.pid === undefined) this.#end('it could not be started');
    });
    this.#process.on('message', (message) => {
      const { db, message: inner } = message as Addressed<FromDatabase>;
      this.#seats.get(db)?.receive(inner);
    });
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_KEPT);
    });
    this.#process.once('exit', (code, signal) => this.#end(signal === null ? `exit code ${code}` : `signal ${signal}`));
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** Resolves once the process runs and is known to the guard; rejects with what kept it from that. */
  async admit(guard: ProcessGuard): Promise<void> {
    await this.#started;
    const id = this.#id as ProcessId;
    const known = this.#guards.get(guard);
    const entry = known ?? { registered: guard.register({ ...id, kind: 'drain', label: 'database' }), seats: 0 };
    this.#guards.set(guard, entry);
    entry.seats++;
    try {
      await entry.registered;
    } catch (error) {
      this.#guards.delete(guard);
      throw error;
    }
  }

  send(db: number, message: ToDatabase): void {
    if (this.#gone || !this.#process.connected) return;
    const addressed: Addressed<ToDatabase> = { db, message };
    this.#process.send(addressed, () => {});
  }

  /**
   * Gives the seat back, whose database is closed; where it was the last one, resolves when the process is gone. The guard
   * is told as soon as it has no database here any more: who is none of its business may live on.
   */
  async leave(db: number, guard: ProcessGuard, env: Env): Promise<void> {
    if (!this.#seats.delete(db)) return this.#gone || this.#seats.size === 0 ? this.#ended.promise : undefined;
    if (this.#seats.size === 0) return this.end(env);
    const entry = this.#guards.get(guard);
    if (entry === undefined || --entry.seats > 0) return;
    this.#guards.delete(guard);
    if (this.#id !== undefined) await guard.unregister(this.#id).catch(() => {});
  }

  /** SIGTERM, a bounded wait, SIGKILL. Who still has a seat hears of it as of any other end. Resolves when it is gone. */
  async end(env: Env): Promise<void> {
    if (shared === this) shared = undefined;
    if (!this.#gone) this.#process.kill('SIGTERM');
    await this.waitGone(END_MS, env);
    await this.kill();
  }

  /** Resolves when it is gone. */
  async kill(): Promise<void> {
    if (shared === this) shared = undefined;
    if (!this.#gone) this.#process.kill('SIGKILL');
    await this.#ended.promise;
  }

  async waitGone(ms: number, env: Env): Promise<void> {
    if (this.#gone) return;
    const waiting = Promise.withResolvers<void>();
    const timer = env.clock.timer(ms, () => waiting.resolve());
    await Promise.race([this.#ended.promise, waiting.promise]);
    timer.cancel();
  }

  #end(how: string): void {
    if (this.#gone) return;
    this.#gone = true;
    if (shared === this) shared = undefined;
    if (this.#id !== undefined) for (const guard of this.#guards.keys()) guard.unregister(this.#id).catch(() => {});
    this.#guards.clear();
    const seats = [...this.#seats.values()];
    this.#seats.clear();
    this.#ended.resolve();
    for (const seat of seats) seat.onEnd(how, this.#stderr.trim());
  }
}
