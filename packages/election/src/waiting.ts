/**
 * Waiting for a term, and working under it. Invariant: work never begins under a term that has ended: from the look at
 * the clock to the moment at which the term's end knows of the work there is no turn of the event loop.
 */
import { type Clock, withDeadline } from '@canopy/core';
import type { Leadership } from './api.ts';
import { checkedWait, type WaitOptions } from './call-options.ts';
import type { Driver } from './driver.ts';
import type { Hooks } from './hooks.ts';

export interface WaitingPorts {
  readonly clock: Clock;
  readonly group: string;
  readonly driver: Driver;
  readonly hooks: Hooks;
  /** Aborts when the election has ended. */
  readonly ended: AbortSignal;
  /** The present term, while it is valid. */
  readonly present: () => Leadership | undefined;
}

export class Waiting {
  readonly #ports: WaitingPorts;

  constructor(ports: WaitingPorts) {
    this.#ports = ports;
  }

  async term(options: WaitOptions): Promise<Leadership> {
    const { clock, group, driver, ended, present } = this.#ports;
    const { timeoutMs, signal } = checkedWait(options);
    signal?.throwIfAborted();
    const giveUp = new AbortController();
    const signals = [giveUp.signal, ended, ...(signal === undefined ? [] : [signal])];
    let leadership: Leadership | undefined;
    const led = driver.until(() => {
      leadership = present();
      return leadership !== undefined;
    }, AbortSignal.any(signals));
    try {
      if (timeoutMs === undefined) await led;
      else await withDeadline(clock, `leadership of group ${group}`, timeoutMs, led);
    } finally {
      // With a reason, because the default one is an error that takes its stack.
      giveUp.abort('over');
    }
    return leadership as unknown as Leadership;
  }

  async work<T>(work: (leadership: Leadership) => Promise<T>, options: WaitOptions): Promise<T> {
    const { clock, hooks } = this.#ports;
    const { timeoutMs, ...rest } = checkedWait(options);
    const until = timeoutMs === undefined ? undefined : clock.monotonic() + timeoutMs;
    for (;;) {
      const left = until === undefined ? {} : { timeout: Math.max(0, until - clock.monotonic()) };
      const leadership = await this.term({ ...rest, ...left });
      // It may have ended between its announcement and this turn.
      if (leadership.isValid()) return hooks.track(leadership, work);
    }
  }
}
