/** An `EventSubscriber` as a managed replica: its topics are what can be behind. */
import type { EventSubscriber } from '../../event-subscriber/event-subscriber.ts';
import type { ManagedReplica, SubscriberStatus } from '../managed-replica.ts';

export class SubscriberReplica implements ManagedReplica {
  readonly kind = 'subscriber';
  readonly node: string;
  readonly #subscriber: EventSubscriber;

  constructor(node: string, subscriber: EventSubscriber) {
    this.node = node;
    this.#subscriber = subscriber;
  }

  knows(): [] {
    return [];
  }

  async status(): Promise<SubscriberStatus> {
    const topics = await this.#subscriber.progress();
    return { kind: this.kind, eventsProcessed: this.#subscriber.stats.eventsProcessed, topics };
  }

  async resync(): Promise<void> {
    await this.#subscriber.poll();
  }
}
