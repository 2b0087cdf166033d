/**
 * A source in memory: topics that anybody may append to, with pushes. For tests, and for programs whose events don't leave the process. Offsets count
 * from 0 without gaps. Bounded by `maxEvents` a topic: the oldest go.
 */
import type { PipelineSource, SourceBatch, SourceEvent } from '../ports/pipeline-source.ts';

export type MemorySourceEvent = Pick<SourceEvent, 'verb' | 'payload'> &
  Partial<Pick<SourceEvent, 'idempotencyKey' | 'timestamp' | '_meta'>>;

interface Topic {
  readonly events: SourceEvent[];
  /** The offset that the next event gets. */
  next: number;
}

export class MemoryPipelineSource implements PipelineSource {
  readonly #topics = new Map<string, Topic>();
  readonly #callbacks = new Map<string, (event: SourceEvent) => void>();
  readonly #maxEvents: number;
  readonly #now: () => number;

  /** `maxEvents` a topic, default 1,000,000; `now` gives Unix ms for events without a timestamp, default 1970. */
  constructor(options: { readonly maxEvents?: number; readonly now?: () => number } = {}) {
    this.#maxEvents = options.maxEvents ?? 1_000_000;
    this.#now = options.now ?? (() => 0);
  }

  /** Stores the event, then pushes it to who is subscribed. Returns its offset. */
  append(topic: string, event: MemorySourceEvent): number {
    const stored = this.store(topic, event);
    this.#callbacks.get(topic)?.(stored);
    return stored.offset;
  }

  /** As `append`, without the push: as when a push is lost on its way. */
  store(topic: string, event: MemorySourceEvent): SourceEvent {
    const held = this.#topic(topic);
    const timestamp = event.timestamp ?? new Date(this.#now()).toISOString();
    const _meta = event._meta ?? { namespace: '', source: 'memory' };
    const stored: SourceEvent = { ...event, offset: held.next, topic, timestamp, _meta };
    held.events.push(stored);
    held.next += 1;
    if (held.events.length > this.#maxEvents) held.events.shift();
    return stored;
  }

  async connect(topic: string): Promise<{ readonly topic: string; readonly offset: number }> {
    return { topic, offset: this.#topic(topic).events[0]?.offset ?? this.#topic(topic).next };
  }

  async disconnect(): Promise<void> {
    this.#callbacks.clear();
  }

  /** One subscriber a topic; a second takes the place of the first. */
  subscribe(topic: string, callback: (event: SourceEvent) => void): void {
    this.#callbacks.set(topic, callback);
  }

  unsubscribe(topic: string): void {
    this.#callbacks.delete(topic);
  }

  async consume(topic: string, fromOffset: number, limit: number): Promise<SourceBatch> {
    const { events, next } = this.#topic(topic);
    const first = events[0]?.offset ?? next;
    const at = Math.max(0, fromOffset - first);
    const found = events.slice(at, at + limit);
    const last = found.at(-1);
    const nextOffset = last === undefined ? Math.max(fromOffset, first) : last.offset + 1;
    return { events: found, nextOffset, hasMore: nextOffset < next };
  }

  /** -1 when nothing was ever appended. */
  async getLatestOffset(topic: string): Promise<number> {
    return this.#topic(topic).next - 1;
  }

  #topic(topic: string): Topic {
    const held = this.#topics.get(topic) ?? { events: [], next: 0 };
    this.#topics.set(topic, held);
    return held;
  }
}
