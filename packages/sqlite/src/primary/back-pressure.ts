/**
 * Keeps the WAL of a primary within bounds: from a soft limit on, writers are kept out for a growing share of the time,
 * at the hard limit for all of it, until what they wrote has been shipped and copied into the file. A writer that is kept
 * out waits as it waits for any other writer, with its own busy timeout. Nothing is thrown away and no reader is ended.
 */
import type { DatabaseEvent, Env, TaskGroup } from '@canopy/core';

/** At most so often the WAL is looked at when it is written to: what a fast writer adds meanwhile goes over the limit. */
const LOOK_MS = 20;
/** How often it is looked at while it is full. */
const PERIOD_MS = 100;
/** Writers that wait look at most 100 ms apart: a shorter gap than this they may never meet. */
const GAP_MS = 120;
/** Kept out for longer at a time, they would run into their own busy timeouts. */
const HOLD_MAX_MS = 600;
/** Of the soft limit. */
const HARD_FACTOR = 4;

/** Why a WAL can't be begun anew. */
export const WAL_CAUSE = {
  held: 'a program keeps a read transaction open, or never stops writing',
  unshipped: 'the log does not take transactions',
} as const;

export interface PressureDeps {
  readonly env: Env;
  readonly tasks: TaskGroup;
  readonly softBytes: number;
  /** Bytes of the WAL's present generation. */
  usedBytes(): number;
  /** Writers are kept out now. A hold can be lost while the WAL is begun anew. */
  isHeld(): boolean;
  /** Keeps writers out until the returned function is called; undefined while one of them can't be kept out. */
  hold(): (() => void) | undefined;
  onEvent(event: DatabaseEvent): void;
  /** `problem` changed. */
  onChange(): void;
}

/** The share of the time in which writers are kept out, 0 to 1. */
export function heldShare(usedBytes: number, softBytes: number): number {
  const hardBytes = softBytes * HARD_FACTOR;
  return Math.min(1, Math.max(0, (usedBytes - softBytes) / (hardBytes - softBytes)));
}

/** Between two gaps, so that the share comes out. */
function holdMs(share: number): number {
  return Math.min(HOLD_MAX_MS, (share / (1 - Math.min(share, 0.99))) * GAP_MS);
}

export class BackPressure {
  readonly #deps: PressureDeps;
  #state: 'none' | 'slowed' | 'full' = 'none';
  #isRunning = false;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #problem: string | undefined;

  constructor(deps: PressureDeps) {
    this.#deps = deps;
  }

  /** For as long as writers are slowed down or kept out. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Writers are kept out altogether. */
  get isFull(): boolean {
    return this.#state === 'full';
  }

  /** Something was written, or could not be taken away. Cheap: it looks at most every 20 ms. */
  press(cause: string): void {
    const { env, tasks, softBytes, usedBytes } = this.#deps;
    const now = env.clock.monotonic();
    if (this.#isRunning || tasks.signal.aborted || now - this.#lookedAt < LOOK_MS) return;
    this.#lookedAt = now;
    if (usedBytes() <= softBytes) return;
    this.#isRunning = true;
    tasks.run('pressure', (signal) => this.#run(cause, signal));
  }

  /** Until the WAL is within bounds again, or the signal aborts: then nobody is kept out any more. */
  async #run(cause: string, signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted && (await this.#period(cause, signal)));
    } finally {
      this.#isRunning = false;
      this.#tell('none', cause, 0);
    }
  }

  async #period(cause: string, signal: AbortSignal): Promise<boolean> {
    const { env, softBytes, usedBytes, hold, isHeld } = this.#deps;
    const used = usedBytes();
    const share = heldShare(used, softBytes);
    if (share === 0) return false;
    this.#tell(share === 1 ? 'full' : 'slowed', cause, used);
    let release = hold();
    try {
      if (release !== undefined) await env.clock.sleep(holdMs(share), { signal });
      // While it is full they stay out: looking again is all that the end of a period means.
      while (release !== undefined && heldShare(usedBytes(), softBytes) === 1) {
        // Also where it became full since the period began: the WAL is begun anew only for one that says so.
        this.#tell('full', cause, usedBytes());
        await env.clock.sleep(PERIOD_MS, { signal });
        if (isHeld()) continue;
        release();
        release = hold();
      }
    } finally {
      release?.();
    }
    await env.clock.sleep(GAP_MS, { signal });
    return true;
  }

  /** Told when it gets worse, and a problem for as long as it lasts. */
  #tell(state: 'none' | 'slowed' | 'full', cause: string, bytes: number): void {
    if (state === this.#state) return;
    const isNews = this.#state === 'none' || state === 'full';
    this.#state = state;
    const effect = state === 'full' ? 'writers are kept out until it is shorter' : 'writers are slowed down';
    this.#problem = state === 'none' ? undefined : `the WAL has ${bytes} bytes: ${cause}; ${effect}`;
    const code = state === 'full' ? 'WAL_FULL' : 'WAL_LARGE';
    if (this.#problem !== undefined && isNews) this.#deps.onEvent({ type: 'warning', code, message: this.#problem });
    this.#deps.onChange();
  }
}
