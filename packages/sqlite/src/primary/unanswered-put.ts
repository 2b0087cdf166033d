/**
 * What is in the way of a put that has no answer yet: NATS is out of reach, does not answer, or answers and stores nothing,
 * which is all that is heard of a server whose disk was full: after a write error it is silent about every write to that
 * stream until it is started again. Invariant: a put of which pieces still arrive is under way, however long it takes.
 */
import type { Clock } from '@canopy/core';
import { hasCode } from '@canopy/core';
import type { Blobs } from '@canopy/nats';

/** Servers restart: a connection may be gone for so long before anybody is told. */
export const LOOK_MS = 2000;
/** An election is over by then, and a piece has arrived over a slow link. */
const SILENT_MS = 4000;
const ANSWER_MS = 1500;
const NO_ANSWER = ['DEADLINE_EXCEEDED', 'JETSTREAM_UNAVAILABLE', 'NATS_UNREACHABLE'] as const;

/** `away`: no connection. `silent`: JetStream does not answer. `stuck`: it answers, and has stored nothing meanwhile. */
export type Obstacle = 'away' | 'silent' | 'stuck';

export interface UnansweredPutDeps {
  readonly clock: Clock;
  readonly store: Pick<Blobs, 'bucketInfo'>;
  isConnected(): boolean;
  /** Another than before; undefined: it is under way. */
  onObstacle(obstacle: Obstacle | undefined): void;
}

/** Looks until it is disposed of. */
export class UnansweredPut implements Disposable {
  readonly #deps: UnansweredPutDeps;
  readonly #ended = new AbortController();
  #timer: Disposable | undefined;
  #obstacle: Obstacle | undefined;
  /** The bucket's last revision, and since when it has been that. */
  #revision: number | undefined;
  #since: number;

  constructor(deps: UnansweredPutDeps) {
    this.#deps = deps;
    this.#since = deps.clock.monotonic();
    this.#plan();
  }

  [Symbol.dispose](): void {
    this.#ended.abort();
    this.#timer?.[Symbol.dispose]();
  }

  #plan(): void {
    const timer = this.#deps.clock.timer(LOOK_MS, () => void this.#look(), { background: true });
    this.#timer = { [Symbol.dispose]: () => timer.cancel() };
  }

  async #look(): Promise<void> {
    const found = this.#deps.isConnected() ? await this.#ask() : 'away';
    if (this.#ended.signal.aborted) return;
    if (found !== this.#obstacle) {
      this.#obstacle = found;
      this.#deps.onObstacle(found);
    }
    this.#plan();
  }

  async #ask(): Promise<Obstacle | undefined> {
    const { clock, store } = this.#deps;
    let isAnswered = true;
    try {
      const { lastRevision } = await store.bucketInfo({ timeoutMs: ANSWER_MS, signal: this.#ended.signal });
      if (lastRevision !== this.#revision) this.#since = clock.monotonic();
      this.#revision = lastRevision;
    } catch (error) {
      // Anything else the put itself will hear.
      if (!hasCode(error, ...NO_ANSWER)) return undefined;
      isAnswered = false;
    }
    if (clock.monotonic() - this.#since < SILENT_MS) return undefined;
    return isAnswered ? 'stuck' : 'silent';
  }
}
