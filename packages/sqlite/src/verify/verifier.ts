/**
 * Proves on a schedule that the log can be restored, and says when it was last proven, by whomever. One proof at a time
 * on a node; a failure is a problem until a later proof, here or elsewhere, succeeds. Nothing waits for it.
 */
import { abortable, CanopyError, type DatabaseEvent, type Env, hasCode, messageOf } from '@canopy/core';
import type { Blobs } from '@canopy/nats';
import { readVerified, VERIFIED, type Verified, verifiedOf, writeVerified } from './record.ts';
import { verifyDueAt } from './schedule.ts';
import type { Proof } from './scratch-restore.ts';

const RETRY_MS = 5000;
/** The longest sleep between looks at the role and the record, and its part of a short interval. */
const LOOK_MS = 60_000;
const LOOKS_PER_INTERVAL = 20;

export interface VerifierDeps {
  readonly blobs: Blobs;
  readonly env: Env;
  readonly node: string;
  readonly intervalMs: number;
  role(): 'primary' | 'standby' | 'other';
  prove(signal: AbortSignal): Promise<Proof>;
  onEvent(event: DatabaseEvent): void;
  onChange(): void;
}

export class Verifier {
  readonly #deps: VerifierDeps;
  readonly #startedAt: number;
  readonly #chance: number;
  #last: Verified | undefined;
  #lastFailedAt: number | undefined;
  #problem: string | undefined;
  #running: Promise<Verified> | undefined;
  #life: AbortSignal | undefined;

  constructor(deps: VerifierDeps) {
    this.#deps = deps;
    this.#startedAt = deps.env.clock.wall();
    this.#chance = deps.env.random.next();
  }

  /** The last proof, by any node; undefined while not known, or when there was none. */
  get last(): Verified | undefined {
    return this.#last;
  }

  get problem(): string | undefined {
    return this.#problem;
  }

  /** Until the signal aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    this.#life = signal;
    await Promise.all([this.#followRecord(signal), this.#keepSchedule(signal)]);
  }

  /** A proof now; who asks while one is under way gets that one. Throws what the proof throws. */
  verify(signal: AbortSignal): Promise<Verified> {
    // Not under the signal of who came first: others may wait for it too.
    this.#running ??= this.#prove(this.#life ?? signal).finally(() => {
      this.#running = undefined;
    });
    return abortable(this.#running, signal);
  }

  async #keepSchedule(signal: AbortSignal): Promise<void> {
    const { env, blobs, intervalMs } = this.#deps;
    if (intervalMs === 0) return;
    const lookMs = Math.min(LOOK_MS, intervalMs / LOOKS_PER_INTERVAL);
    while (!signal.aborted) {
      const due = this.#dueInMs();
      try {
        if (due === undefined || due > 0) await env.clock.sleep(Math.min(due ?? lookMs, lookMs), { signal });
        else {
          // Somebody else may just have done it.
          this.#learn(await readVerified(blobs, signal));
          if ((this.#dueInMs() ?? 1) <= 0) await this.verify(signal);
        }
      } catch (error) {
        if (signal.aborted) return;
        env.log.debug('verify_not_done', { reason: messageOf(error) });
        this.#lastFailedAt = env.clock.wall();
      }
    }
  }

  #dueInMs(): number | undefined {
    const { intervalMs, env } = this.#deps;
    const due = verifyDueAt({
      role: this.#deps.role(),
      intervalMs,
      lastVerifiedAt: this.#last?.at,
      lastFailedAt: this.#lastFailedAt,
      startedAt: this.#startedAt,
      chance: this.#chance,
    });
    return due === undefined ? undefined : due - env.clock.wall();
  }

  async #followRecord(signal: AbortSignal): Promise<void> {
    const { blobs, env } = this.#deps;
    while (!signal.aborted) {
      try {
        for await (const event of blobs.watch(VERIFIED, { signal }))
          if (event.type === 'put') this.#learn(verifiedOf(event.blob));
      } catch (error) {
        if (signal.aborted || hasCode(error, 'NATS_CLOSED')) return;
      }
      await env.clock.sleep(RETRY_MS, { signal }).catch(() => {});
    }
  }

  #learn(verified: Verified | undefined): void {
    if (verified === undefined || verified.at <= (this.#last?.at ?? 0)) return;
    this.#last = verified;
    this.#problem = undefined;
    this.#deps.onChange();
  }

  async #prove(signal: AbortSignal): Promise<Verified> {
    const { env, node, blobs, onEvent } = this.#deps;
    try {
      const proof = await this.#deps.prove(signal);
      const verified: Verified = { ...proof, at: env.clock.wall(), node };
      await writeVerified(blobs, verified, signal);
      this.#learn(verified);
      this.#lastFailedAt = undefined;
      onEvent({ type: 'restore_verified', ...proof });
      return verified;
    } catch (error) {
      if (!signal.aborted && !hasCode(error, 'SQLITE_LOG_EMPTY')) this.#failed(error);
      throw error;
    }
  }

  #failed(error: unknown): void {
    const message = messageOf(error);
    this.#lastFailedAt = this.#deps.env.clock.wall();
    this.#problem = message;
    const code = CanopyError.is(error) ? error.code : 'SQLITE_VERIFY_FAILED';
    this.#deps.onEvent({ type: 'warning', code, message });
    this.#deps.onChange();
  }
}
