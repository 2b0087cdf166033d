/** A watch on a directory store: what is present, `synced`, then what the index says has changed, soon after it has. */
import { type FSWatcher, watch } from 'node:fs';
import { type Env, messageOf } from '@canopy/core';
import type { BlobWatchEvent } from '@canopy/nats';
import type { DirectoryIndex } from './directory-index.ts';

/** Looks without a hint of the file system. */
const POLL_MS = 250;

export async function* watchDirectory(
  index: DirectoryIndex,
  directory: string,
  prefix: string,
  env: Env,
  signal: AbortSignal | undefined,
): AsyncGenerator<BlobWatchEvent> {
  const bell = new Bell(directory, env, signal);
  try {
    let known = new Set<string>();
    let since: number | undefined;
    while (!signal?.aborted) {
      if (index.isGone) return;
      const changes = index.changes(prefix, since ?? 0);
      const isWhole = since === undefined || !changes.isComplete;
      const present = isWhole ? index.changes(prefix, 0) : changes;
      since = present.revision;
      for (const blob of present.put) yield { type: 'put', blob };
      const names = new Set(present.put.map(({ name }) => name));
      const gone = isWhole
        ? [...known].filter((name) => !names.has(name))
        : present.deleted.filter((name) => !names.has(name));
      for (const name of gone) if (known.delete(name)) yield { type: 'deleted', name };
      if (isWhole) known = names;
      else for (const name of names) known.add(name);
      if (isWhole) yield { type: 'synced' };
      await bell.wait();
    }
  } finally {
    bell.close();
  }
}

/** Rings when something in the directory changes, now and then, and at the signal. */
class Bell {
  readonly #env: Env;
  readonly #signal: AbortSignal | undefined;
  #watcher: FSWatcher | undefined;
  #rung = false;
  #ring: () => void = () => {};

  constructor(directory: string, env: Env, signal: AbortSignal | undefined) {
    this.#env = env;
    this.#signal = signal;
    signal?.addEventListener('abort', this.#now, { once: true });
    try {
      this.#watcher = watch(directory, { persistent: false }, this.#now);
      this.#watcher.on('error', () => this.#watcher?.close());
    } catch (error) {
      env.log.warn('store_watch_unavailable', { reason: messageOf(error) });
    }
  }

  readonly #now = (): void => {
    this.#rung = true;
    this.#ring();
  };

  async wait(): Promise<void> {
    if (!this.#rung && !this.#signal?.aborted) {
      await new Promise<void>((resolve) => {
        const timer = this.#env.clock.timer(POLL_MS, resolve);
        this.#ring = () => {
          timer.cancel();
          resolve();
        };
      });
      this.#ring = () => {};
    }
    this.#rung = false;
  }

  close(): void {
    this.#watcher?.close();
    this.#signal?.removeEventListener('abort', this.#now);
  }
}
