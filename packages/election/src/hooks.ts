/**
 * The user's hooks. Invariant: each registered hook runs once per term; the demote hooks of a term begin after its signal
 * has aborted and its own work (promote hooks, `lead`) has ended or timed out, and the next term begins after they have.
 */
import { type Clock, type Duration, hasCode, type Logger, messageOf, resolveOptions, withDeadline } from '@canopy/core';
import type { ElectionReason, Leadership } from './api.ts';

export type PromoteHook = (leadership: Leadership) => unknown;
export interface Demotion {
  readonly leadership: Leadership;
  readonly reason: ElectionReason;
}
export type DemoteHook = (demotion: Demotion) => unknown;

export interface HookOptions {
  /**
   * How long the hook may take to end: a promote hook from when its signal aborts (before that it may run as long as the
   * term), a demote hook from its begin. Default the election's `hookTimeout`. Past it the hook is no longer waited for, the
   * log says so, and the lease is not released but runs out: nobody is let in while something may still run.
   */
  readonly timeout?: Duration;
}

interface Work {
  readonly timeoutMs: number;
  readonly settled: Promise<void>;
}

export class Hooks {
  /** With their timeouts, ms. */
  readonly #promote = new Map<PromoteHook, number>();
  readonly #demote = new Map<DemoteHook, number>();
  /** Work under the present term; each settles, none rejects. */
  readonly #work = new Set<Work>();
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #timeoutMs: number;

  constructor(clock: Clock, log: Logger, timeoutMs: number) {
    this.#clock = clock;
    this.#log = log;
    this.#timeoutMs = timeoutMs;
  }

  onPromote(hook: PromoteHook, options: HookOptions = {}): () => void {
    this.#promote.set(hook, this.#timeoutOf(options));
    return () => void this.#promote.delete(hook);
  }

  onDemote(hook: DemoteHook, options: HookOptions = {}): () => void {
    this.#demote.set(hook, this.#timeoutOf(options));
    return () => void this.#demote.delete(hook);
  }

  /** The longest that `end` can take: work and demote hooks come one after the other. */
  get boundMs(): number {
    const work = [...this.#promote.values(), ...[...this.#work].map(({ timeoutMs }) => timeoutMs)];
    return Math.max(0, ...work) + Math.max(0, ...this.#demote.values());
  }

  /** Starts every promote hook; they may run for as long as the term. */
  begin(leadership: Leadership): void {
    for (const [hook, timeoutMs] of this.#promote) {
      const run = async (): Promise<unknown> => {
        // Not in the middle of the event that begins the term.
        await undefined;
        return hook(leadership);
      };
      this.track(leadership, run, timeoutMs).catch((error: unknown) => {
        if (!leadership.signal.aborted) this.#log.error('onpromote_callback_panic', { error: messageOf(error) });
      });
    }
  }

  /** Begins work of the term now; the term's end waits for it (bounded). Refuses a term that has ended, with its reason. */
  track<T>(
    leadership: Leadership,
    work: (leadership: Leadership) => Promise<T>,
    timeoutMs = this.#timeoutMs,
  ): Promise<T> {
    if (!leadership.isValid()) return Promise.reject(leadership.signal.reason);
    const running = (async () => work(leadership))();
    const settled = running.then(
      () => {},
      () => {},
    );
    const tracked = { timeoutMs, settled };
    this.#work.add(tracked);
    void settled.then(() => this.#work.delete(tracked));
    return running;
  }

  /** Resolves with whether everything of the term has certainly ended. Within `boundMs`; never rejects. */
  async end(leadership: Leadership, reason: ElectionReason): Promise<boolean> {
    const work = [...this.#work];
    const ended = await Promise.all(
      work.map(({ settled, timeoutMs }) => this.#within('onpromote_callback', timeoutMs, settled, reason)),
    );
    // What did not end must not hold up the end of the next term.
    for (const each of work) this.#work.delete(each);
    const demoted = await Promise.all(
      [...this.#demote].map(([hook, timeoutMs]) => {
        const running = Promise.resolve({ leadership, reason }).then(hook);
        return this.#within('ondemote_callback', timeoutMs, running, reason);
      }),
    );
    return [...ended, ...demoted].every(Boolean);
  }

  async #within(what: string, timeoutMs: number, running: Promise<unknown>, reason: ElectionReason): Promise<boolean> {
    try {
      await withDeadline(this.#clock, what, timeoutMs, running);
      return true;
    } catch (error) {
      if (hasCode(error, 'DEADLINE_EXCEEDED')) this.#log.warn(`${what}_timeout`, { timeout_ms: timeoutMs, reason });
      else this.#log.error(`${what}_failed`, { error: messageOf(error), reason });
      return false;
    }
  }

  /** OPTIONS_INVALID. */
  #timeoutOf(options: HookOptions): number {
    return resolveOptions('hook', options, (read) =>
      read.durationMs('timeout', { default: this.#timeoutMs, minMs: 1 }),
    );
  }
}
