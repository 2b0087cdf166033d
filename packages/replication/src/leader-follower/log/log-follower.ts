/**
 * Follows a log: reads on from the position, applies what is there in few commits, starts from a snapshot where the log does not
 * reach back, and knows how fresh it is. It goes on until it is stopped, whatever fails; it never skips anything.
 */
import { backoffMs, type Clock, type Env, TaskGroup } from '@canopy/core';
import type { EventLog, EventLogInfo, LogEvent } from '../../ports/event-log.ts';
import type { ResolvedConfig } from '../config.ts';
import type { Recovery } from '../recovery-progress.ts';
import type { ReplicaHost } from '../replica.ts';
import type { Freshness } from './freshness.ts';
import type { LogState } from './log-state.ts';
import type { Snapshots } from './snapshots.ts';

const RETRY = { initialMs: 100, maxMs: 5000 };
const POLL_MAX_MS = 5000;

export interface FollowerContext {
  readonly config: ResolvedConfig;
  readonly log: EventLog;
  readonly state: LogState;
  readonly host: ReplicaHost;
  readonly env: Env;
  readonly snapshots: Snapshots | undefined;
  readonly freshness: Freshness;
  readonly recovery: Recovery;
}

export class LogFollower {
  readonly #context: FollowerContext;
  readonly #clock: Clock;
  readonly #tasks: TaskGroup;
  readonly #caughtUp = Promise.withResolvers<void>();
  #reading: AbortController | undefined;
  #gapTold = 0;
  #leaderTold = 0;

  constructor(context: FollowerContext) {
    this.#context = context;
    this.#clock = context.env.clock;
    this.#tasks = new TaskGroup((error, task) => context.host.failed(error, task));
    this.#tasks.run('follow', (signal) => this.#run(signal));
    this.#tasks.run('ask for the end', (signal) => this.#ask(signal));
  }

  /** Has had all that the log had at some moment. */
  get caughtUp(): Promise<void> {
    return this.#caughtUp.promise;
  }

  async stop(): Promise<void> {
    await this.#tasks.stop();
    this.#caughtUp.resolve();
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { host, env } = this.#context;
    for (let failures = 0; !signal.aborted; ) {
      try {
        await this.#begin(signal);
        await this.#readOn(signal);
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        host.failed(error as Error, 'follow');
        await this.#clock.sleep(backoffMs(failures++, RETRY, env.random), { signal }).catch(() => {});
      }
    }
  }

  /** Compares the position with the log, and takes a snapshot where that is needed or much shorter. */
  async #begin(signal: AbortSignal): Promise<void> {
    const { log, state, config, snapshots, recovery, freshness, host } = this.#context;
    const askedAt = this.#clock.monotonic();
    const info = await log.info({ signal, timeoutMs: config.writeTimeoutMs });
    state.identify(info, log);
    const trimmed = info.firstSequence > state.sequence + 1;
    if (snapshots !== undefined && (trimmed || snapshots.isFarBehind(info.lastSequence)))
      await this.#bootstrap(info, snapshots, signal);
    if (info.firstSequence > state.sequence + 1) {
      const gap = { from: state.sequence + 1, to: info.firstSequence - 1, reason: 'trimmed' } as const;
      if (this.#gapTold !== gap.to) host.gap(gap);
      this.#gapTold = gap.to;
      throw state.snapshotMissing(info.firstSequence, log);
    }
    freshness.answered(askedAt, info.lastSequence, state.sequence);
    if (info.lastSequence > state.sequence)
      recovery.begin('log', state.sequence, info.lastSequence, this.#clock.monotonic());
  }

  async #bootstrap(info: EventLogInfo, snapshots: Snapshots, signal: AbortSignal): Promise<void> {
    const { state, recovery, host } = this.#context;
    const loaded = await snapshots.load(info, signal, (done, total) => {
      if (done === 0) recovery.begin('snapshot', 0, total, this.#clock.monotonic());
      else recovery.advance(done, 0);
    });
    if (loaded) host.applied([], state.sequence);
  }

  /** Until the reading ends: because events were trimmed away meanwhile, or something failed. */
  async #readOn(signal: AbortSignal): Promise<void> {
    const { log, state, config } = this.#context;
    const failing = new AbortController();
    this.#reading = failing;
    const stop = AbortSignal.any([signal, failing.signal]);
    const batch: LogEvent[] = [];
    let timer: { cancel(): void } | undefined;
    const flush = (): void => {
      timer?.cancel();
      timer = undefined;
      this.#apply(batch.splice(0));
    };
    // What the reader has at hand comes before the timer: one commit for all of it.
    const flushSoon = (): void => {
      timer ??= this.#clock.timer(0, () => {
        try {
          flush();
        } catch (error) {
          failing.abort(error);
        }
      });
    };
    try {
      for await (const item of log.read({ after: state.sequence, signal: stop })) {
        if (item.type === 'event') {
          batch.push(item);
          if (batch.length >= config.applyBatchSize) flush();
          else flushSoon();
        } else if (item.type === 'caught-up') {
          flush();
          this.#reachedEnd();
        } else if (item.type === 'trimmed' && item.first > (batch.at(-1)?.sequence ?? state.sequence) + 1) {
          flush();
          return;
        }
      }
      failing.signal.throwIfAborted();
      if (!signal.aborted) flush();
    } finally {
      timer?.cancel();
    }
  }

  #apply(events: readonly LogEvent[]): void {
    const { state, host, freshness, recovery } = this.#context;
    if (events.length === 0) return;
    const writes = state.apply(events);
    freshness.applied(state.sequence);
    recovery.advance(state.sequence, writes.length);
    const { epoch, leaderId } = state.fence;
    if (epoch !== this.#leaderTold && leaderId !== undefined) host.leaderSeen(leaderId, epoch);
    this.#leaderTold = epoch;
    host.applied(writes, state.sequence);
  }

  #reachedEnd(): void {
    const { recovery, host } = this.#context;
    this.#caughtUp.resolve();
    if (!recovery.active) return;
    const { recovered } = recovery;
    const ms = recovery.end(this.#clock.monotonic());
    if (recovered > 0) host.recovered(recovered, ms);
  }

  /** Often enough that an idle log does not look stale. */
  async #ask(signal: AbortSignal): Promise<void> {
    const { log, config, freshness, state } = this.#context;
    const everyMs = Math.max(10, Math.min(POLL_MAX_MS, config.maxStalenessMs / 3));
    while (!signal.aborted) {
      await this.#clock.sleep(everyMs, { signal }).catch(() => {});
      if (signal.aborted) return;
      const askedAt = this.#clock.monotonic();
      // Not answered: it grows stale, which is what is to be told.
      const info = await log.info({ signal, timeoutMs: everyMs }).catch(() => undefined);
      if (info === undefined) continue;
      if (info.createdAt === state.logId) freshness.answered(askedAt, info.lastSequence, state.sequence);
      else if (state.logId !== 0) this.#notOurs(info);
    }
  }

  /** The log was made anew below the reader: nothing of it may be applied here, and it is told why this replica grows stale. */
  #notOurs(info: EventLogInfo): void {
    const { state, log } = this.#context;
    try {
      state.identify(info, log);
    } catch (error) {
      this.#reading?.abort(error);
    }
  }
}
