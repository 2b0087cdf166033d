/**
 * Whether the log is seen: a function of what is known, asked about once a second. It is dark from the first look that finds
 * no connection until something was heard of the log on a new one, and where nothing was heard for long though there is a
 * connection, as of a server that is frozen. Invariants: what is dark is never taken for "nothing new"; that it lasts is told
 * once, and then, too, that it is over.
 */

/** Servers restart: a connection may be gone for so long before anybody is told. */
const AWAY_MS = 2000;
/** The log is asked every two seconds: without an answer for this long nobody knows where it ends. */
export const SIGHT_MS = 6000;
/** Looks that are further apart: this process was not running in between, so nothing could be heard. */
const ASLEEP_MS = 3000;

export interface SightFacts {
  /** Monotonic ms. */
  readonly now: number;
  /** Whether NATS is reached now. True where the log is not in NATS. */
  readonly isConnected: boolean;
  /** When something was heard of the log last. Monotonic ms. */
  readonly seenAt: number;
}

export type SightNews =
  | { readonly type: 'interrupted'; readonly ms: number; readonly reason: string }
  | { readonly type: 'resumed'; readonly ms: number };

export class LogSight {
  /** When the connection was found gone. */
  #cutAt: number | undefined;
  #lookedAt: number | undefined;
  #awakeAt = 0;
  #darkSince: number | undefined;
  #reason: string | undefined;

  /** Nobody can say where the log ends. */
  get isDark(): boolean {
    return this.#darkSince !== undefined;
  }

  /** Why it is dark, once that has lasted. */
  get problem(): string | undefined {
    return this.#reason;
  }

  /** What has to be told now. */
  look(facts: SightFacts): SightNews | undefined {
    const { now, isConnected, seenAt } = facts;
    if (this.#lookedAt !== undefined && now - this.#lookedAt > ASLEEP_MS) this.#awakeAt = now;
    this.#lookedAt = now;
    if (!isConnected) this.#cutAt ??= now;
    else if (this.#cutAt !== undefined && seenAt > this.#cutAt) this.#cutAt = undefined;
    const isSilent = now - Math.max(seenAt, this.#awakeAt) > SIGHT_MS;
    if (this.#cutAt === undefined && !isSilent) return this.#bright(now);
    this.#darkSince ??= this.#cutAt ?? seenAt;
    const ms = now - this.#darkSince;
    if (this.#reason !== undefined || (!isSilent && (isConnected || ms < AWAY_MS))) return undefined;
    const what = isConnected ? 'the log does not answer' : 'NATS is away';
    this.#reason = `${what}: the log may have moved on; the copy follows when it is back`;
    return { type: 'interrupted', ms, reason: this.#reason };
  }

  #bright(now: number): SightNews | undefined {
    const since = this.#darkSince ?? now;
    const wasTold = this.#reason !== undefined;
    this.#darkSince = undefined;
    this.#reason = undefined;
    return wasTold ? { type: 'resumed', ms: now - since } : undefined;
  }
}
