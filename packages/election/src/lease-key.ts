/**
 * The group's key in its bucket: performs the machine's requests on it, and turns what comes of them
 * into the machine's events. A request ends within its bound, whatever the adapter does.
 */
import { type Clock, hasCode, messageOf, withDeadline } from '@canopy/core';
import type { Kv } from '@canopy/nats';
import { encodeLease } from './lease/lease-value.ts';
import { sightingOf } from './lease/sighting.ts';
import type { Effect, MachineEvent } from './machine/state.ts';

export type Request = Extract<Effect, { op: number }>;

export interface Outcome {
  readonly event: MachineEvent;
  /** Why the outcome is unknown. */
  readonly error: Error | undefined;
}

export class LeaseKey {
  readonly kv: Kv;
  readonly key: string;
  readonly #clock: Clock;
  readonly #timeoutMs: number;

  constructor(kv: Kv, key: string, clock: Clock, timeoutMs: number) {
    this.kv = kv;
    this.key = key;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  /** Never rejects. */
  async perform(request: Request): Promise<Outcome> {
    const { op } = request;
    try {
      // The adapter keeps its own bound; ours is there so that a stuck one cannot stop the protocol.
      const work = this.#send(request);
      const event = await withDeadline(this.#clock, `${request.type} of the lease`, this.#timeoutMs * 1.25, work);
      return { event, error: undefined };
    } catch (error) {
      if (hasCode(error, 'KV_CONFLICT')) return { event: { type: 'conflict', op }, error: undefined };
      return { event: { type: 'failed', op }, error: error instanceof Error ? error : new Error(messageOf(error)) };
    }
  }

  async #send(request: Request): Promise<MachineEvent> {
    const { op } = request;
    const options = { timeoutMs: this.#timeoutMs };
    switch (request.type) {
      case 'read': {
        const entry = await this.kv.get(this.key, options);
        return { type: 'read', op, sighting: entry === undefined ? undefined : sightingOf(entry) };
      }
      case 'create':
        return { type: 'written', op, revision: await this.kv.create(this.key, encodeLease(request.lease), options) };
      case 'update': {
        const value = encodeLease(request.lease);
        return { type: 'written', op, revision: await this.kv.update(this.key, value, request.revision, options) };
      }
      case 'delete':
        return { type: 'written', op, revision: await this.kv.delete(this.key, request.revision, options) };
    }
  }
}
