/**
 * Runs the machine: feeds it events one at a time, hands its effects on in order, and keeps the one timer that it asks
 * for. Invariant: an effect that causes another event never overtakes the effects before it.
 */
import { abortable, type Clock, type Timer } from '@canopy/core';
import { type Effect, initialState, type MachineEvent, type MachineState, type Rules } from './machine/state.ts';
import { step, wakeAt } from './machine/step.ts';

interface Waiter {
  readonly holds: (state: MachineState) => boolean;
  readonly done: () => void;
  readonly fail: (error: Error) => void;
}

export class Driver {
  readonly #clock: Clock;
  readonly #rules: Rules;
  readonly #perform: (effect: Effect) => void;
  readonly #queue: MachineEvent[] = [];
  readonly #waiters = new Set<Waiter>();
  #state: MachineState;
  #draining = false;
  #closed = false;
  #timer: Timer | undefined;
  #timerAt = Number.NaN;
  #wallAhead: number;

  constructor(clock: Clock, rules: Rules, perform: (effect: Effect) => void) {
    this.#clock = clock;
    this.#rules = rules;
    this.#perform = perform;
    this.#state = initialState(rules);
    this.#wallAhead = clock.wall() - clock.monotonic();
  }

  get state(): MachineState {
    return this.#state;
  }

  /** The queue holds at most one event per answer, timer and watch message that arrived while effects were run. */
  feed(event: MachineEvent): void {
    if (this.#closed) return;
    if (this.#hasSlept()) this.#queue.push({ type: 'suspended' });
    this.#queue.push(event);
    if (this.#draining) return;
    this.#draining = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        const { state, effects } = step(this.#rules, this.#state, next, this.#clock.monotonic());
        this.#state = state;
        for (const effect of effects) this.#perform(effect);
      }
    } finally {
      this.#draining = false;
    }
    this.#arm();
    for (const waiter of this.#waiters) {
      if (!waiter.holds(this.#state)) continue;
      this.#waiters.delete(waiter);
      waiter.done();
    }
  }

  /** Resolves when the state satisfies `holds` (now or after some event); rejects when the signal aborts first. */
  async until(holds: (state: MachineState) => boolean, signal?: AbortSignal): Promise<void> {
    if (holds(this.#state)) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter = { holds, done: resolve, fail: reject };
    this.#waiters.add(waiter);
    try {
      await abortable(promise, signal);
    } finally {
      this.#waiters.delete(waiter);
    }
  }

  /** Nothing moves any more; whoever still waits is rejected with `reason`. */
  close(reason: Error): void {
    this.#closed = true;
    this.#timer?.cancel();
    for (const waiter of this.#waiters) waiter.fail(reason);
    this.#waiters.clear();
  }

  /**
   * The monotonic clock stands still while a machine is suspended; the wall clock then jumps ahead by more than clocks
   * are ever corrected. A false alarm costs one term, silence could cost two leaders.
   */
  #hasSlept(): boolean {
    const wallAhead = this.#clock.wall() - this.#clock.monotonic();
    const jumpedMs = wallAhead - this.#wallAhead;
    this.#wallAhead = wallAhead;
    return jumpedMs > this.#rules.marginMs;
  }

  #arm(): void {
    const at = wakeAt(this.#rules, this.#state);
    if (at === this.#timerAt) return;
    this.#timer?.cancel();
    this.#timerAt = at ?? Number.NaN;
    this.#timer =
      at === undefined
        ? undefined
        : this.#clock.timer(at - this.#clock.monotonic(), () => {
            this.#timerAt = Number.NaN;
            this.feed({ type: 'tick' });
          });
  }
}
