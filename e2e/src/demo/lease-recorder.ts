/**
 * An observer outside the cluster that writes down who held an app's lease and when, from the lease's key alone. A term
 * begins when its first value is seen and ends with its release, or, where it was never released, when the holder must
 * have given it up by its own reckoning: its last renewal plus the lease time less the margin.
 * Writes count at the time at which the server, on this same machine, stored them: what the observer hears late, because
 * the server was down, still lies where it belongs.
 */
import type { Clock } from '@canopy/core';
import { decodeLease, epochOf, marginOf } from '@canopy/election';
import type { Kv } from '@canopy/nats';
import type { LeaseInterval } from '../check/index.ts';

interface Term {
  readonly node: string;
  readonly token: string;
  readonly epoch: number;
  readonly from: number;
  lastSeen: number;
  releasedAt: number | undefined;
}

export class LeaseRecorder {
  readonly #clock: Clock;
  readonly #ttlMs: number;
  readonly #terms: Term[] = [];
  readonly #controller = new AbortController();
  #done: Promise<void> = Promise.resolve();

  constructor(clock: Clock, ttlMs: number) {
    this.#clock = clock;
    this.#ttlMs = ttlMs;
  }

  start(kv: Kv, group: string): void {
    this.#done = this.#record(kv, group);
  }

  async stop(): Promise<void> {
    this.#controller.abort();
    await this.#done;
  }

  /** Every term so far; the present one has no end. */
  intervals(): LeaseInterval[] {
    const now = this.#clock.monotonic();
    return this.#terms.map(({ node, epoch, from, lastSeen, releasedAt }, i) => {
      const runsOut = lastSeen + this.#ttlMs - marginOf(this.#ttlMs);
      const to = releasedAt ?? (runsOut <= now ? runsOut : undefined);
      if (to === undefined || releasedAt !== undefined) return { node, epoch, from, to };
      const next = this.#terms[i + 1]?.from ?? Number.POSITIVE_INFINITY;
      return { node, epoch, from, to, fencedBy: Math.max(to, Math.min(next, lastSeen + this.#ttlMs)) };
    });
  }

  async #record(kv: Kv, group: string): Promise<void> {
    for await (const event of kv.watch(group, { signal: this.#controller.signal })) {
      if (event.type !== 'entry') continue;
      const at = this.#storedAt(event.entry.writtenAt);
      const value = event.entry.operation === 'delete' ? undefined : decodeLease(event.entry.value);
      const last = this.#terms.at(-1);
      if (value === undefined || value.released === true) {
        if (last !== undefined) last.releasedAt ??= at;
      } else if (last !== undefined && last.token === value.token) {
        last.lastSeen = at;
      } else {
        const epoch = epochOf(value, event.entry.revision);
        this.#terms.push({
          node: value.id,
          token: value.token,
          epoch,
          from: at,
          lastSeen: at,
          releasedAt: undefined,
        });
      }
    }
  }
  /** Monotonic time of a write; a deletion that was inferred has no time of its own. */
  #storedAt(writtenAt: number): number {
    const now = this.#clock.monotonic();
    return writtenAt > 0 ? Math.min(now, now - (this.#clock.wall() - writtenAt)) : now;
  }
}
