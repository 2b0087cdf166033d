/**
 * The one lifecycle: new → starting → running → stopping → stopped, or failed. A thing runs once; stop() is idempotent,
 * waits for what was begun, and never rejects for being late. Subclasses say how to start and how to stop.
 */
import { coreErrors } from '../errors/errors.ts';

export type LifecycleState = 'new' | 'starting' | 'running' | 'stopping' | 'stopped' | 'failed';

export interface StartOptions {
  /** Aborts the start; what was begun is undone. */
  readonly signal?: AbortSignal | undefined;
}

export abstract class Lifecycle implements AsyncDisposable {
  #state: LifecycleState = 'new';
  #stopping: Promise<void> | undefined;
  #starting: Promise<void> | undefined;
  readonly #closed = Promise.withResolvers<Error | undefined>();
  readonly #subject: string;

  protected constructor(subject: string) {
    this.#subject = subject;
  }

  get state(): LifecycleState {
    return this.#state;
  }

  /** Resolves when this has ended: with the error that ended it, or undefined after stop(). Never rejects. */
  get closed(): Promise<Error | undefined> {
    return this.#closed.promise;
  }

  /** Resolves when ready; on failure undoes what it began and rejects. Throws STATE_INVALID on a second call. */
  async start(options: StartOptions = {}): Promise<void> {
    this.require('start', 'new');
    this.#state = 'starting';
    this.#starting = this.onStart(options);
    try {
      await this.#starting;
      options.signal?.throwIfAborted();
      if (this.#state === 'starting') this.#state = 'running';
    } catch (error) {
      if (this.#state === 'starting') {
        this.#state = 'stopping';
        this.#stopping = this.onStop().catch(() => {});
        await this.#stopping;
        this.#state = 'failed';
        this.#closed.resolve(error as Error);
      }
      throw error;
    }
  }

  /** Idempotent; resolves when everything this began has ended. */
  stop(): Promise<void> {
    this.#stopping ??= this.#runStop();
    return this.#stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #runStop(): Promise<void> {
    const before = this.#state;
    this.#state = 'stopping';
    if (before !== 'new') {
      await this.#starting?.catch(() => {});
      await this.onStop();
    } else this.onNeverStarted();
    this.#state = 'stopped';
    this.#closed.resolve(undefined);
  }

  /** For a running thing that can't go on: ends it with `error`. */
  protected fail(error: Error): void {
    if (this.#stopping !== undefined) return;
    this.#state = 'stopping';
    this.#stopping = this.onStop()
      .catch(() => {})
      .then(() => {
        this.#state = 'failed';
        this.#closed.resolve(error);
      });
  }

  protected require(action: string, ...states: readonly LifecycleState[]): void {
    if (!states.includes(this.#state))
      throw coreErrors.create('STATE_INVALID', { subject: this.#subject, action, state: this.#state });
  }

  protected abstract onStart(options: StartOptions): Promise<void>;
  /** Stopped before any start: ends what waits for this, such as watches. Nothing by default. Must not throw. */
  protected onNeverStarted(): void {}
  /** Called at most once, also after a start that failed half-way. Must not throw for things that never began. */
  protected abstract onStop(): Promise<void>;
}
