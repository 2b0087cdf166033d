/**
 * A durable source in memory, for tests: deliveries that are not ended in time come again, in the order of their sequences, as a server's
 * consumer has it. Outlives its subscribers.
 */
import { type Clock, systemClock } from '@canopy/core';
import type { DurableDelivery, DurableSource } from './durable-source.ts';

interface Message {
  readonly sequence: number;
  readonly data: Uint8Array;
  readonly id: string | undefined;
  readonly storedAt: number;
  attempts: number;
  state: 'waiting' | 'delivered' | 'ended';
  /** Monotonic ms from which it may be delivered (again). */
  readyAt: number;
}

export class MemoryDurableSource implements DurableSource {
  readonly name: string;
  readonly #clock: Clock;
  readonly #ackWaitMs: number;
  readonly #messages: Message[] = [];
  readonly #wakers = new Set<() => void>();
  /** Throws to have a call fail: with `ack`, after it was carried out. */
  fault: ((call: 'fetch' | 'ack' | 'term') => void) | undefined;
  /** Sequences given up by `term`. */
  readonly terminated: number[] = [];

  /** `ackWaitMs`: after it an unanswered delivery comes again; default 30 s. */
  constructor(name: string, options: { readonly clock?: Clock; readonly ackWaitMs?: number } = {}) {
    this.name = name;
    this.#clock = options.clock ?? systemClock;
    this.#ackWaitMs = options.ackWaitMs ?? 30_000;
  }

  /** Stores a message: JSON of `body`. Returns its sequence. */
  append(body: unknown, id?: string): number {
    const sequence = this.#messages.length + 1;
    const data = new TextEncoder().encode(JSON.stringify(body));
    const storedAt = this.#clock.wall();
    this.#messages.push({ sequence, data, id, storedAt, attempts: 0, state: 'waiting', readyAt: 0 });
    for (const wake of [...this.#wakers]) wake();
    return sequence;
  }

  async fetch(options: { readonly max: number; readonly waitMs: number; readonly signal?: AbortSignal | undefined }) {
    this.fault?.('fetch');
    const giveUpAt = this.#clock.monotonic() + options.waitMs;
    for (;;) {
      const now = this.#clock.monotonic();
      const open = this.#messages.filter(({ state, readyAt }) => state !== 'ended' && readyAt <= now);
      if (open.length > 0) return open.slice(0, options.max).map((message) => this.#deliver(message));
      if (now >= giveUpAt || options.signal?.aborted) return [];
      const next = Math.min(giveUpAt, ...this.#open().map(({ readyAt }) => readyAt));
      await this.#wait(Math.max(1, next - now), options.signal);
    }
  }

  async info(): Promise<{ readonly pending: number; readonly ackPending: number }> {
    const open = this.#open();
    const ackPending = open.filter(({ state }) => state === 'delivered').length;
    return { pending: open.length - ackPending, ackPending };
  }

  #open(): Message[] {
    return this.#messages.filter(({ state }) => state !== 'ended');
  }

  #deliver(message: Message): DurableDelivery {
    message.attempts += 1;
    message.state = 'delivered';
    message.readyAt = this.#clock.monotonic() + this.#ackWaitMs;
    const { sequence, data, storedAt, attempts: attempt } = message;
    const pending = this.#messages.filter(({ state }) => state === 'waiting').length;
    const later = (ms: number): void => {
      if (message.state === 'delivered') message.readyAt = this.#clock.monotonic() + ms;
      for (const wake of [...this.#wakers]) wake();
    };
    const end = async (call: 'ack' | 'term'): Promise<void> => {
      if (call === 'term' && message.state !== 'ended') this.terminated.push(sequence);
      message.state = 'ended';
      this.fault?.(call);
    };
    return {
      subject: this.name,
      sequence,
      data,
      storedAt,
      attempt,
      pending,
      header: (name) => (name.toLowerCase() === 'nats-msg-id' ? message.id : undefined),
      ack: () => end('ack'),
      term: () => end('term'),
      nak: (delayMs = 0) => later(delayMs),
      working: () => later(this.#ackWaitMs),
    };
  }

  #wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#clock.timer(ms, resolve);
    this.#wakers.add(resolve);
    signal?.addEventListener('abort', () => resolve(), { once: true });
    return promise.finally(() => {
      timer.cancel();
      this.#wakers.delete(resolve);
    });
  }
}
