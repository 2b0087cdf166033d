/**
 * Events on their way into a caller's pipeline, in memory: one at a time, in order, none overtakes another. What can't be sent stays, and is
 * tried again with growing pauses; a full queue refuses. Only as durable as the process: where that matters there is the log.
 */
import { backoffMs, type Env, messageOf, withDeadline } from '@canopy/core';
import { replicationErrors } from '../errors.ts';
import type { Pipeline } from '../ports/pipeline.ts';
import type { MasterEvent } from './event.ts';

export interface SendQueueOptions {
  readonly pipeline: Pipeline;
  readonly masterId: string;
  readonly limit: number;
  readonly timeoutMs: number;
  readonly onBlocked: (problem: string, waiting: number) => void;
}

const RETRY = { initialMs: 1000, maxMs: 30_000 };

export class SendQueue {
  readonly #options: SendQueueOptions;
  readonly #env: Env;
  readonly #events: MasterEvent[] = [];
  #running: Promise<void> | undefined;
  #retry: { cancel(): void } | undefined;
  #failures = 0;
  #closed = false;

  constructor(options: SendQueueOptions, env: Env) {
    this.#options = options;
    this.#env = env;
  }

  get length(): number {
    return this.#events.length;
  }

  /** Throws MASTER_OUTBOX_FULL when there is no room for another. */
  requireRoom(): void {
    const { limit, masterId } = this.#options;
    if (this.#events.length >= limit) throw replicationErrors.create('MASTER_OUTBOX_FULL', { masterId, limit });
  }

  push(event: MasterEvent): void {
    this.#events.push(event);
  }

  has(event: MasterEvent): boolean {
    return this.#events.includes(event);
  }

  /** Sends what there is. Resolves when all is sent, or an attempt failed; never rejects. */
  flush(): Promise<void> {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  close(): void {
    this.#closed = true;
    this.#retry?.cancel();
  }

  async #run(): Promise<void> {
    this.#retry?.cancel();
    const { pipeline, timeoutMs, onBlocked } = this.#options;
    while (this.#events[0] !== undefined && !this.#closed) {
      try {
        await withDeadline(this.#env.clock, 'pipeline.send', timeoutMs, pipeline.send([this.#events[0]]));
        this.#events.shift();
        this.#failures = 0;
      } catch (error) {
        this.#failures += 1;
        onBlocked(messageOf(error), this.#events.length);
        const pauseMs = backoffMs(this.#failures - 1, RETRY, this.#env.random);
        if (!this.#closed) this.#retry = this.#env.clock.timer(pauseMs, () => void this.flush(), { background: true });
        return;
      }
    }
  }
}
