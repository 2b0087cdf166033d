/**
 * Background work with an owner. Every loop runs in a group: one shared signal, the first failure cancels the rest and
 * is reported once, and stop() waits for all of them.
 */
import { coreErrors } from '../errors/errors.ts';

export class TaskGroup {
  readonly #controller = new AbortController();
  readonly #tasks = new Set<Promise<void>>();
  readonly #onFailure: (error: Error, task: string) => void;

  /** `onFailure` hears the first failure (not the abort that follows stop()). */
  constructor(onFailure: (error: Error, task: string) => void) {
    this.#onFailure = onFailure;
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Starts `work`; it must end soon after the signal aborts. */
  run(task: string, work: (signal: AbortSignal) => Promise<void>): void {
    if (this.signal.aborted)
      throw coreErrors.create('STATE_INVALID', { subject: 'task group', action: `run ${task}`, state: 'stopped' });
    const running: Promise<void> = work(this.signal)
      .catch((error: Error) => {
        if (this.signal.aborted) return;
        this.#controller.abort(error);
        this.#onFailure(error, task);
      })
      .finally(() => this.#tasks.delete(running));
    this.#tasks.add(running);
  }

  /** Aborts the signal and waits for every task. Idempotent. */
  async stop(reason: unknown = new DOMException('stopped', 'AbortError')): Promise<void> {
    if (!this.signal.aborted) this.#controller.abort(reason);
    while (this.#tasks.size > 0) await Promise.allSettled(this.#tasks);
  }
}
