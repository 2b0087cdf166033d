/**
 * One recovery at a time, with what it has come to. It belongs to the node: whoever asked for it may go away. Invariant: a leader is never
 * rebuilt, it has what nobody else may have.
 */
import { type CanopyError, type Clock, type Logger, TaskGroup } from '@canopy/core';
import { replicationErrors } from '../errors.ts';
import type { RecoveryProgress } from '../leader-follower/recovery-progress.ts';
import type { ManagedReplica } from './managed-replica.ts';
import { errorOf } from './messages.ts';

/** `rebuild`: the state is thrown away and made anew. `resync`: what was missed is read again, the state stays. */
export type RecoveryMode = 'rebuild' | 'resync';

export interface RecoveryReport {
  /** Counts the recoveries of this life of the node; 0: there was none. */
  readonly run: number;
  readonly state: 'none' | 'running' | 'done' | 'failed';
  readonly mode: RecoveryMode | undefined;
  /** Since it began; when it has ended, how long it took. */
  readonly ms: number;
  /** Undefined where it can't be told. */
  readonly progress: RecoveryProgress | undefined;
  /** Why it failed. */
  readonly error: ReturnType<CanopyError['toJSON']> | undefined;
}

export class RecoveryRun {
  readonly #replica: () => ManagedReplica;
  readonly #rebuild: (() => Promise<void>) | undefined;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #tasks = new TaskGroup(() => {});
  #run = 0;
  #state: RecoveryReport['state'] = 'none';
  #mode: RecoveryMode | undefined;
  #beganAt = 0;
  #endedAt = 0;
  #error: CanopyError | undefined;

  constructor(replica: () => ManagedReplica, rebuild: (() => Promise<void>) | undefined, clock: Clock, log: Logger) {
    this.#replica = replica;
    this.#rebuild = rebuild;
    this.#clock = clock;
    this.#log = log;
  }

  /** Begins, or joins the one under way. Default mode: rebuild where program or manager can. Throws REPLICATION_ADMIN_UNSUPPORTED, RECOVERY_REFUSED. */
  async begin(wanted: RecoveryMode | undefined, discard = false): Promise<RecoveryReport> {
    if (this.#state === 'running') return this.report();
    const replica = this.#replica();
    const own = replica.rebuild?.bind(replica);
    const rebuild = this.#rebuild ?? (own && ((signal: AbortSignal) => own(signal, discard)));
    const mode = wanted ?? (rebuild === undefined ? 'resync' : 'rebuild');
    const work = mode === 'rebuild' ? rebuild : replica.resync?.bind(replica);
    if (work === undefined)
      throw replicationErrors.create('REPLICATION_ADMIN_UNSUPPORTED', { node: replica.node, op: `recover by ${mode}` });
    const status = mode === 'rebuild' ? await replica.status() : undefined;
    if (status?.kind === 'leader-follower' && status.role === 'leader')
      throw replicationErrors.create('RECOVERY_REFUSED', { node: replica.node, problem: 'it leads' });
    // Another question may have begun one meanwhile.
    if (this.report().state === 'running') return this.report();
    this.#run += 1;
    [this.#state, this.#mode, this.#beganAt, this.#error] = ['running', mode, this.#clock.monotonic(), undefined];
    this.#log.info('recovery_began', { mode });
    this.#tasks.run('recovery', (signal) => this.#work(work, signal));
    return this.report();
  }

  report(): RecoveryReport {
    const isRunning = this.#state === 'running';
    const until = isRunning ? this.#clock.monotonic() : this.#endedAt;
    return {
      run: this.#run,
      state: this.#state,
      mode: this.#mode,
      ms: this.#run === 0 ? 0 : Math.round(until - this.#beganAt),
      progress: isRunning ? this.#replica().progress?.() : undefined,
      error: this.#error?.toJSON(),
    };
  }

  /** A rebuilding of the program's goes on: it can't be told to end. */
  async stop(): Promise<void> {
    if (this.#mode === 'rebuild' && this.#rebuild !== undefined) void this.#tasks.stop();
    else await this.#tasks.stop();
  }

  async #work(work: (signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void> {
    try {
      await work(signal);
      this.#state = 'done';
      this.#log.info('recovery_done', { mode: this.#mode });
    } catch (error) {
      this.#state = 'failed';
      this.#error = errorOf(error);
      this.#log.warn('recovery_failed', { mode: this.#mode, error: this.#error.message });
    } finally {
      this.#endedAt = this.#clock.monotonic();
    }
  }
}
