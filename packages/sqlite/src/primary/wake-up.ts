/**
 * When to look at the WAL again: at once when it was written to or somebody asks, else after a pause that is short while
 * commits come and long while none do. The watch is what notices; the pause covers for a watch that misses something: it
 * grows only while the watch is known to work, which is when it told of the last commit that was found. A commit counts a
 * little after the last write to the WAL, and nothing tells of that moment: looks are close then.
 */
import { type FSWatcher, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import { type Env, messageOf } from '@canopy/core';

const ACTIVE_POLL_MS = 20;
const ACTIVE_FOR_MS = 1000;
/** The first pause after the WAL was written to; each further one is twice as long. */
const PUBLISH_POLL_MS = 1;
/** With a watch that works, pauses grow to so many times the idle one, each twice as long as the one before. */
const WATCHED_FACTOR = 8;

export class WakeUp {
  readonly #env: Env;
  readonly #idleMs: number;
  readonly #onWrite: () => void;
  #watcher: FSWatcher | undefined;
  #wake: () => void = () => {};
  #woken = false;
  #activeAt = 0;
  #pauseMs = ACTIVE_POLL_MS;
  /** Of the idle pause. */
  #factor = 1;
  /** The watch has told of a write since the last commit was found. */
  #heard = false;
  #isWatchGood = false;

  /** `onWrite` hears of each write to the WAL that the watch notices. */
  constructor(env: Env, idleMs: number, onWrite: () => void) {
    this.#env = env;
    this.#idleMs = idleMs;
    this.#onWrite = onWrite;
  }

  /** Watches the directory, so that a -wal file that is made anew is seen too. */
  watch(path: string): void {
    const name = `${basename(path)}-wal`;
    try {
      this.#watcher = watch(dirname(path), { persistent: false }, (_event, changed) => {
        if (changed !== null && changed !== name) return;
        this.#heard = true;
        this.#active();
        this.#pauseMs = PUBLISH_POLL_MS;
        this.now();
        this.#onWrite();
      });
      this.#watcher.on('error', () => this.close());
    } catch (error) {
      // No watches left on this machine: looking now and then still works.
      this.#env.log.warn('wal_watch_unavailable', { reason: messageOf(error) });
    }
  }

  /** Ends the present pause, or the next one. */
  now(): void {
    this.#woken = true;
    this.#wake();
  }

  /** Somebody waits for what is looked at: pauses are short for a while. */
  hurry(): void {
    this.#active();
  }

  /** Commits were found: pauses are short for a while. */
  found(): void {
    this.#isWatchGood = this.#heard;
    this.#heard = false;
    this.#active();
  }

  async pause(): Promise<void> {
    if (!this.#woken) {
      const { clock } = this.#env;
      const active = clock.monotonic() - this.#activeAt < ACTIVE_FOR_MS;
      const ms = active ? Math.min(this.#pauseMs, this.#idleMs) : this.#idlePauseMs();
      await new Promise<void>((resolve) => {
        const timer = clock.timer(ms, resolve);
        this.#pauseMs = Math.min(this.#pauseMs * 2, ACTIVE_POLL_MS);
        this.#wake = () => {
          timer.cancel();
          resolve();
        };
      });
      this.#wake = () => {};
    }
    this.#woken = false;
  }

  close(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  #active(): void {
    this.#activeAt = this.#env.clock.monotonic();
    this.#pauseMs = ACTIVE_POLL_MS;
    this.#factor = 1;
  }

  #idlePauseMs(): number {
    const factor = this.#isWatchGood && this.#watcher !== undefined ? this.#factor : 1;
    this.#factor = Math.min(this.#factor * 2, WATCHED_FACTOR);
    return this.#idleMs * factor;
  }
}
