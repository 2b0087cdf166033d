/**
 * What the log holds, kept up to date by a watch, so that planning lists nothing. It may be a moment old: who acts on it
 * puts create-only, and asks for the very objects that a deletion rests on.
 */
import { type Clock, hasCode, type Logger, messageOf } from '@canopy/core';
import { entryOf, firstCopyAt, isFirstCopy, type LogEntry, ROOT } from '../log/names.ts';
import type { SegmentLog } from '../log/segment-log.ts';

const RETRY_MS = 2000;

export class Catalogue {
  readonly #entries = new Map<string, LogEntry>();
  readonly #firstCopies = new Map<string, LogEntry>();
  #isComplete = false;
  #version = 0;

  /** The whole bucket has been seen. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Grows with every change. */
  get version(): number {
    return this.#version;
  }

  get entries(): LogEntry[] {
    return [...this.#entries.values()];
  }

  /** When the full copy was stored that the log itself begins with; undefined: there is none, or it is not known. */
  get firstCopyAt(): number | undefined {
    return firstCopyAt([...this.#firstCopies.values()]);
  }

  add(entry: LogEntry): void {
    if (isFirstCopy(entry)) this.#firstCopies.set(entry.name, entry);
    this.#entries.set(entry.name, entry);
    this.#version++;
  }

  /** What this process has just put, with its own clock's time where the watch, which may be faster, has the server's. */
  addOwn(entry: LogEntry): void {
    if (this.#entries.get(entry.name)?.revision !== entry.revision) this.add(entry);
  }

  remove(name: string): void {
    this.#firstCopies.delete(name);
    if (this.#entries.delete(name)) this.#version++;
  }

  /** Until the signal aborts. A watch that breaks off is begun anew with nothing known. */
  async follow(log: SegmentLog, clock: Clock, logger: Logger, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await this.#watch(log, signal);
      } catch (error) {
        if (signal.aborted || hasCode(error, 'NATS_CLOSED')) return;
        logger.warn('log_catalogue_lost', { bucket: log.bucket, reason: messageOf(error) });
      }
      this.#isComplete = false;
      this.#entries.clear();
      this.#firstCopies.clear();
      if (!signal.aborted) await clock.sleep(RETRY_MS, { signal }).catch(() => {});
    }
  }

  async #watch(log: SegmentLog, signal: AbortSignal): Promise<void> {
    for await (const event of log.store.watch(ROOT, { signal })) {
      if (event.type === 'synced') this.#isComplete = true;
      else if (event.type === 'deleted') this.remove(event.name);
      else if (event.type === 'put') {
        const entry = entryOf(event.blob);
        if (entry !== undefined) this.add(entry);
      }
    }
  }
}
