/** Who wants to hear of what happens to a master. A listener that throws is logged and disturbs nobody. */
import { type Logger, messageOf } from '@canopy/core';
import type { ConflictRecord } from './conflict-book.ts';

export interface MasterEvents {
  /** Another master's event took effect here; with a log it may not be stored yet. */
  readonly eventApplied: { readonly entityId: string; readonly masterId: string; readonly number: number };
  /** Masters wrote without knowing of each other. */
  readonly conflictDetected: ConflictRecord;
  /** A conflict that waited for a decision is gone: `by` wrote what has seen all its versions. */
  readonly conflictResolved: { readonly entityId: string; readonly by: string };
  /** An event waits for what it depends on. */
  readonly buffered: { readonly masterId: string; readonly number: number; readonly waiting: number };
  /** An event lies too far in the future. It is held until its time is within the bound, and all that depends on it with it. */
  readonly rejected: { readonly masterId: string; readonly number: number; readonly aheadMs: number };
  /** Something that waited had to make room, or could not be kept; it must come again. */
  readonly evicted: { readonly masterId: string; readonly number: number };
  /** What came was no event, or one of the log whose content is no good, which is counted without effect. */
  readonly invalid: { readonly problem: string };
  /** This master has to be, or was, brought up to others by other means than events one by one. */
  readonly resync: {
    readonly reason: 'baseline' | 'buffer' | 'trimmed' | 'number' | 'repair';
    readonly masterId: string;
  };
  /** The merge function threw; the last writer's version shows. */
  readonly mergeFailed: { readonly entityId: string; readonly problem: string };
  /** Another master was announced, or left. */
  readonly joined: { readonly masterId: string };
  readonly left: { readonly masterId: string };
  /** Events can't be sent at present; they are kept. */
  readonly outboxBlocked: { readonly problem: string; readonly waiting: number };
  /** This master can't go on. */
  readonly failed: { readonly error: Error };
}

export type MasterEventName = keyof MasterEvents;
export type MasterListener<N extends MasterEventName> = (event: MasterEvents[N]) => unknown;

export class Listeners {
  readonly #listeners = new Map<MasterEventName, Set<MasterListener<MasterEventName>>>();
  /** Something moved that no event tells of. */
  moved: () => void = () => {};
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  on<N extends MasterEventName>(name: N, listener: MasterListener<N>): void {
    const set = this.#listeners.get(name) ?? new Set();
    set.add(listener as MasterListener<MasterEventName>);
    this.#listeners.set(name, set);
  }

  off<N extends MasterEventName>(name: N, listener: MasterListener<N>): void {
    this.#listeners.get(name)?.delete(listener as MasterListener<MasterEventName>);
  }

  clear(): void {
    this.#listeners.clear();
    this.moved = () => {};
  }

  emit<N extends MasterEventName>(name: N, event: MasterEvents[N]): void {
    const listeners = this.#listeners.get(name);
    // Many events, mostly nobody who listens.
    if (listeners === undefined || listeners.size === 0) return;
    for (const listener of [...listeners]) {
      const failed = (error: unknown): void =>
        this.#log.warn('listener_failed', { event: name, problem: messageOf(error) });
      try {
        const result = listener(event);
        if (result instanceof Promise) result.catch(failed);
      } catch (error) {
        failed(error);
      }
    }
  }
}
