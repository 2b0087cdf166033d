/**
 * Takes a master's events from its outbox to the log, in order. They stay in the outbox until they came back from the log: only that tells that
 * the log has this event under this number. Those that wait go together. The message id is made of the master's numbers and times, so an append
 * whose answer was lost is mostly known to the log, and another event under the same number is not taken for it; what gets into the log twice,
 * also in other company, is dropped by its readers.
 */
import { backoffMs, type Env, hasCode, messageOf } from '@canopy/core';
import type { EventLog, Json } from '../ports/event-log.ts';
import type { MasterEvent } from './event.ts';
import { type NumberedEvent, packed, packsOf } from './event-pack.ts';
import type { MasterCore } from './master-core.ts';

/** Events under way at a time. */
const WINDOW = 1024;
/** Short, because an append waits for its connection as well: what has gathered goes as soon as there is one. */
const RETRY = { initialMs: 100, maxMs: 1000 };
/** Turns of promises between a write and its sending: whoever wrote goes on first. */
const WAKING_TURNS = 16;

interface Waiter {
  readonly number: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export class OutboxShipper {
  readonly #core: MasterCore;
  readonly #log: EventLog;
  readonly #env: Env;
  readonly #onBlocked: (problem: string) => void;
  #waiters: Waiter[] = [];
  #wake: (() => void) | undefined;
  #failures = 0;
  /** Up to here all events of this master came back from the log, or were there before this process. */
  #confirmed: number;
  /** Where the life that `#confirmed` is of was announced. */
  #joinedAt: number;
  readonly #ahead = new Set<number>();
  /** Up to here the log has acknowledged all of this process, and these behind it. */
  #cursor: number;
  readonly #taken = new Set<number>();
  /** The log takes no packs: a server with a small limit. */
  #single = false;

  constructor(core: MasterCore, log: EventLog, env: Env, onBlocked: (problem: string) => void) {
    this.#core = core;
    this.#log = log;
    this.#env = env;
    this.#onBlocked = onBlocked;
    const [first] = core.state.first<MasterEvent>('outbox', 1);
    this.#confirmed = first === undefined ? (core.self?.counter ?? 0) : Number(first[0]) - 1;
    this.#cursor = this.#confirmed;
    this.#joinedAt = core.self?.joinedAt ?? 0;
    core.onReadBack = (number, andBefore) => this.#readBack(number, andBefore);
  }

  /** The last attempt failed. */
  get isBlocked(): boolean {
    return this.#failures > 0;
  }

  /** This master wrote: what came before the first event of a life is of former lives, and counts already. */
  wrote(number: number): void {
    const { joinedAt = 0 } = this.#core.self ?? {};
    if (joinedAt !== this.#joinedAt) {
      this.#joinedAt = joinedAt;
      this.#confirmed = number - 1;
      this.#cursor = number - 1;
      this.#ahead.clear();
      this.#taken.clear();
    }
    this.wake();
  }

  /** There is something to send. */
  wake(): void {
    this.#wake?.();
  }

  /** Resolves when it came back from the log, and all before it, and counts. Rejects when this ends before. */
  sent(number: number): Promise<void> {
    // What a life that has not written yet knows of its numbers, it knows from the log.
    if (number <= this.#confirmed || this.#core.self?.joinedAt !== this.#joinedAt) return Promise.resolve();
    return new Promise((resolve, reject) => this.#waiters.push({ number, resolve, reject }));
  }

  /** Until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        const batch = this.#unshipped();
        if (batch.length === 0) {
          await this.#nextWake(signal);
          for (let turn = 0; turn < WAKING_TURNS; turn++) await undefined;
        } else if (!(await this.#ship(batch, signal))) {
          const pauseMs = backoffMs(this.#failures - 1, RETRY, this.#env.random);
          await this.#env.clock.sleep(pauseMs, { signal }).catch(() => {});
        }
      }
    } finally {
      const error = (signal.reason ?? new Error('ended')) as Error;
      for (const { reject } of this.#waiters.splice(0)) reject(error);
    }
  }

  #unshipped(): NumberedEvent[] {
    if (this.#core.unsent === 0) return [];
    return this.#core.outbox
      .after(this.#cursor, WINDOW)
      .filter(({ number }) => !this.#taken.has(number) && number > this.#confirmed && !this.#ahead.has(number));
  }

  async #ship(batch: readonly NumberedEvent[], signal: AbortSignal): Promise<boolean> {
    this.#core.outbox.sending(batch);
    const packs = packsOf(batch, { single: this.#single });
    const results = await Promise.allSettled(packs.map((pack) => this.#append(pack, signal)));
    if (signal.aborted) return true;
    const taken = packs.filter((_, index) => results[index]?.status === 'fulfilled').flat();
    const failed = results.find((result) => result.status === 'rejected');
    for (const { number } of taken) if (number > this.#cursor) this.#taken.add(number);
    while (this.#taken.delete(this.#cursor + 1)) this.#cursor += 1;
    if (failed !== undefined) {
      if (this.#single || !hasCode(failed.reason, 'EVENT_INVALID')) return this.#blocked(failed.reason);
      this.#single = true;
      return true;
    }
    this.#failures = 0;
    return true;
  }

  async #append(pack: readonly NumberedEvent[], signal: AbortSignal): Promise<void> {
    const [first, last] = [pack[0] as NumberedEvent, pack.at(-1) as NumberedEvent];
    const { masterId, incarnation = this.#core.self?.incarnation } = first.event;
    const numbers = pack.length === 1 ? `${first.number}` : `${first.number}-${last.number}`;
    const times = pack.length === 1 ? first.event.hlc : `${first.event.hlc}.${last.event.hlc}`;
    await this.#log.append(packed(masterId, pack) as unknown as Json, {
      topic: topicOf(masterId),
      messageId: `${masterId}.${incarnation}.${numbers}.${times}`,
      signal,
    });
  }

  #blocked(error: unknown): false {
    this.#failures += 1;
    this.#onBlocked(messageOf(error));
    return false;
  }

  /** Only this tells that an event counts: the log also takes those of a master that has been replaced, and nobody applies them. */
  #readBack(number: number, andBefore = false): void {
    if (andBefore) {
      for (const each of this.#ahead) if (each <= number) this.#ahead.delete(each);
      this.#confirmed = Math.max(this.#confirmed, number);
      this.#cursor = Math.max(this.#cursor, number);
    } else if (number > this.#confirmed) this.#ahead.add(number);
    while (this.#ahead.delete(this.#confirmed + 1)) this.#confirmed += 1;
    this.#waiters = this.#waiters.filter((waiter) => {
      if (waiter.number > this.#confirmed) return true;
      waiter.resolve();
      return false;
    });
  }

  #nextWake(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        signal.removeEventListener('abort', done);
        this.#wake = undefined;
        resolve();
      };
      this.#wake = done;
      signal.addEventListener('abort', done, { once: true });
    });
  }
}

/** Where a master's events are in the log; readers take `mm.>`. Do not change. */
export function topicOf(masterId: string): string {
  return `mm.${masterId}`;
}
export const TOPICS = 'mm.>';
