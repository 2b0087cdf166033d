/**
 * What an election tells the outside of itself: events for its watchers, log lines, transitions in the metrics.
 * Invariant: one event, one log line and one count per change, in the order of the changes.
 */
import { Broadcast, type Clock, type Epoch, type Logger } from '@canopy/core';
import type { ElectionEvent, ElectionReason, ElectionState } from './api.ts';
import type { ElectionMetrics } from './metrics.ts';

export interface PublicationPorts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: ElectionMetrics;
  readonly present: () => { state: ElectionState; leaderId: string | undefined; epoch: Epoch | undefined };
}

export class Publication {
  readonly #ports: PublicationPorts;
  readonly #events = new Broadcast<ElectionEvent>({ capacity: 256 });
  #lastReason: ElectionReason = 'started';
  #lastTransition: number;

  constructor(ports: PublicationPorts) {
    this.#ports = ports;
    this.#lastTransition = ports.clock.wall();
  }

  /** Wall ms. */
  get lastTransition(): number {
    return this.#lastTransition;
  }

  /** The present state first, then every change. */
  watch(options: { signal?: AbortSignal | undefined }): AsyncIterable<ElectionEvent> {
    return this.#events.watch({ ...options, first: [this.#event(this.#lastReason)] });
  }

  changed(from: ElectionState, reason: ElectionReason): void {
    const { clock, log, metrics, present } = this.#ports;
    const { state, leaderId } = present();
    this.#lastReason = reason;
    this.#lastTransition = clock.wall();
    if (from === state) log.info('leader_changed', { leader_id: leaderId });
    else {
      metrics.changed(from, state);
      log.info('state_transition', { from_state: from, to_state: state, reason, leader_id: leaderId });
    }
    this.#events.send(this.#event(reason));
  }

  close(): void {
    this.#events.close();
  }

  #event(reason: ElectionReason): ElectionEvent {
    const { clock, present } = this.#ports;
    return { ...present(), reason, at: clock.monotonic(), wallAt: clock.wall() };
  }
}
