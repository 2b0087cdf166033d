/**
 * A stream of the twin: messages under one growing sequence, the ids that it has seen, and its durable consumers. Everything happens
 * at once and in order; delays and losses are the session's business.
 */
import type { Clock } from '@canopy/core';
import { natsErrors } from '../errors.ts';
import type { StreamAppended, StreamConsumerOptions, StreamMessage, StreamOptions } from '../streams/port.ts';

const DUPLICATES_MS = 120_000;

/** What a durable consumer knows, whoever fetches from it. */
export interface ConsumerState {
  options: StreamConsumerOptions;
  /** The last sequence that was delivered for the first time, or passed over. */
  cursor: number;
  /** Delivered and not ended, by sequence. */
  readonly pending: Map<number, { attempt: number; dueAt: number }>;
}

export class StreamTable {
  readonly name: string;
  readonly options: StreamOptions;
  readonly createdAt: number;
  readonly clock: Clock;
  readonly consumers = new Map<string, ConsumerState>();
  messages: StreamMessage[] = [];
  readonly #ids = new Map<string, { readonly sequence: number; readonly at: number }>();
  readonly #listeners = new Set<() => void>();
  #last = 0;
  #bytes = 0;

  constructor(name: string, options: StreamOptions, clock: Clock) {
    this.name = name;
    this.options = options;
    this.clock = clock;
    this.createdAt = clock.wall();
  }

  get lastSequence(): number {
    return this.#last;
  }

  get firstSequence(): number {
    return this.messages[0]?.sequence ?? this.#last + 1;
  }

  get bytes(): number {
    return this.#bytes;
  }

  append(
    subject: string,
    data: Uint8Array,
    headers: Readonly<Record<string, string>>,
    messageId: string | undefined,
    expected: number | undefined,
  ): StreamAppended {
    const known = messageId === undefined ? undefined : this.#known(messageId);
    if (expected !== undefined && expected !== this.#last) {
      if (known !== undefined && known === expected + 1) return { sequence: known, duplicate: true };
      throw natsErrors.create('STREAM_CONFLICT', { stream: this.name, expected });
    }
    if (known !== undefined) return { sequence: known, duplicate: true };
    const size = data.length + subject.length;
    if (this.options.maxBytes !== undefined && this.#bytes + size > this.options.maxBytes)
      throw natsErrors.create('STREAM_FULL', { stream: this.name });
    this.#last += 1;
    this.#bytes += size;
    const all = { ...headers, ...(messageId === undefined ? {} : { 'Nats-Msg-Id': messageId }) };
    this.messages.push({
      subject,
      sequence: this.#last,
      data: Uint8Array.from(data),
      storedAt: this.clock.wall(),
      header: (name) => Object.entries(all).find(([key]) => key.toLowerCase() === name.toLowerCase())?.[1],
    });
    if (messageId !== undefined) this.#ids.set(messageId, { sequence: this.#last, at: this.clock.monotonic() });
    this.changed();
    return { sequence: this.#last, duplicate: false };
  }

  /** The first message behind this sequence. */
  next(after: number): StreamMessage | undefined {
    const { messages } = this;
    const first = messages[0];
    // Nothing leaves but from the front, so the rest has no gaps.
    return first === undefined ? undefined : messages[Math.max(0, after + 1 - first.sequence)];
  }

  at(sequence: number): StreamMessage | undefined {
    const found = this.next(sequence - 1);
    return found?.sequence === sequence ? found : undefined;
  }

  purge(upTo: number): number {
    const keep = this.messages.findIndex(({ sequence }) => sequence > upTo);
    const gone = this.messages.splice(0, keep === -1 ? this.messages.length : keep);
    for (const { data, subject } of gone) this.#bytes -= data.length + subject.length;
    return gone.length;
  }

  /** Calls `run` at every change, also of a consumer; returns what ends it. */
  listen(run: () => void): () => void {
    this.#listeners.add(run);
    return () => void this.#listeners.delete(run);
  }

  changed(): void {
    for (const run of [...this.#listeners]) run();
  }

  #known(messageId: string): number | undefined {
    const seen = this.#ids.get(messageId);
    const windowMs = this.options.duplicateWindowMs ?? DUPLICATES_MS;
    return seen === undefined || this.clock.monotonic() - seen.at > windowMs ? undefined : seen.sequence;
  }
}
