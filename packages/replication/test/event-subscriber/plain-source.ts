/** The plainest source that a program may bring: a list a topic, and a callback. */
import type { CheckpointStore, PipelineSource, SourceBatch, SourceEvent } from '../../src/index.ts';

export class PlainSource implements PipelineSource {
  readonly events = new Map<string, SourceEvent[]>();
  readonly callbacks = new Map<string, (event: SourceEvent) => void>();
  readonly consumed: { topic: string; from: number; limit: number }[] = [];
  connected = 0;
  disconnected = 0;
  failures = 0;

  fill(topic: string, count: number, key?: (index: number) => string): void {
    const held = this.events.get(topic) ?? [];
    for (let i = 0; i < count; i++) {
      const offset = held.length;
      held.push(eventAt(topic, offset, key?.(offset)));
    }
    this.events.set(topic, held);
  }

  async connect(topic: string) {
    if (topic === 'broken') throw new Error('Connection failed');
    this.connected += 1;
    return { topic, offset: 0 };
  }
  async disconnect() {
    this.disconnected += 1;
  }
  subscribe(topic: string, callback: (event: SourceEvent) => void) {
    this.callbacks.set(topic, callback);
  }
  unsubscribe(topic: string) {
    this.callbacks.delete(topic);
  }
  async consume(topic: string, from: number, limit: number): Promise<SourceBatch> {
    this.consumed.push({ topic, from, limit });
    if (this.failures > 0) {
      this.failures -= 1;
      throw new Error('Consume failed');
    }
    const held = this.events.get(topic) ?? [];
    const events = held.slice(from, from + limit);
    return { events, nextOffset: from + events.length, hasMore: from + events.length < held.length };
  }
  async getLatestOffset(topic: string) {
    return (this.events.get(topic)?.length ?? 0) - 1;
  }
}

export function eventAt(topic: string, offset: number, idempotencyKey?: string): SourceEvent {
  return {
    offset,
    topic,
    verb: 'created',
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    timestamp: '2026-01-01T00:00:00.000Z',
    payload: { n: offset },
    _meta: { namespace: 'test', source: 'plain' },
  };
}

export class PlainCheckpoints implements CheckpointStore {
  readonly stored = new Map<string, number>();
  readonly writes: [string, number][] = [];
  async get(key: string) {
    return this.stored.get(key) ?? null;
  }
  async set(key: string, offset: number) {
    this.writes.push([key, offset]);
    this.stored.set(key, offset);
  }
  async delete(key: string) {
    this.stored.delete(key);
  }
  async getAll() {
    return new Map(this.stored);
  }
}
