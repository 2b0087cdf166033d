/**
 * The user's hooks. Invariant: each registered hook runs once per term; the demote hooks of a term begin after its signal
 * has aborted and its own work (promote hooks, `lead`) has ended or timed out, and the next term begins after they have.
 */
import { type Clock, hasCode, type Logger, messageOf, withDeadline } from '@canopy/core';
import type { ElectionReason, Leadership } from './api.ts';

export type PromoteHook = (leadership: Leadership) => unknown;
export interface Demotion {
  readonly leadership: Leadership;
  readonly reason: ElectionReason;
}
export type DemoteHook = (demotion: Demotion) => unknown;

export class Hooks {
  readonly #promote = new Set<PromoteHook>();
  readonly #demote = new Set<DemoteHook>();
  /** Work under the present term; each settles, none rejects. */
  readonly #work = new Set<Promise<void>>();
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #timeoutMs: number;

  constructor(clock: Clock, log: Logger, timeoutMs: number) {
    this.#clock = clock;
    this.#log = log;
    this.#timeoutMs = timeoutMs;
  }

  onPromote(hook: PromoteHook): () => void {
    this.#promote.add(hook);
    return () => void this.#promote.delete(hook);
  }

  onDemote(hook: DemoteHook): () => void {
    this.#demote.add(hook);
    return () => void this.#demote.delete(hook);
  }

  /** Starts every promote hook; they may run for as long as the term. */
  begin(leadership: Leadership): void {
    for (const hook of this.#promote) {
      const run = async (): Promise<unknown> => {
        // Not in the middle of the event that begins the term.
        await undefined;
        return hook(leadership);
      };
      this.track(leadership, run).catch((error: unknown) => {
        if (!leadership.signal.aborted) this.#log.error('onpromote_callback_panic', { error: messageOf(error) });
      });
    }
  }

  /** Begins work of the term now; the term's end waits for it (bounded). Refuses a term that has ended, with its reason. */
  track<T>(leadership: Leadership, work: (leadership: Leadership) => Promise<T>): Promise<T> {
    if (!leadership.isValid()) return Promise.reject(leadership.signal.reason);
    const running = (async () => work(leadership))();
    const settled = running.then(
      () => {},
      () => {},
    );
    this.#work.add(settled);
    void settled.then(() => this.#work.delete(settled));
    return running;
  }

  /** Resolves with whether everything of the term has certainly ended. Within the hook timeout; never rejects. */
  async end(leadership: Leadership, reason: ElectionReason): Promise<boolean> {
    try {
      await withDeadline(this.#clock, 'demote hooks', this.#timeoutMs, this.#runDemote({ leadership, reason }));
      return true;
    } catch (error) {
      if (hasCode(error, 'DEADLINE_EXCEEDED'))
        this.#log.warn('ondemote_callback_timeout', { timeout_ms: this.#timeoutMs, reason });
      else this.#log.error('ondemote_callback_failed', { error: messageOf(error), reason });
      return false;
    } finally {
      this.#work.clear();
    }
  }

  async #runDemote(demotion: Demotion): Promise<void> {
    await Promise.all([...this.#work]);
    const results = await Promise.allSettled([...this.#demote].map(async (hook) => hook(demotion)));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }
}
