/**
 * A log in memory, for tests and simulation: one `MemoryLog` is what all nodes share, `connect` gives a node its own way to it. The fault
 * hook decides for every call and every delivery whether it is late, lost or refused. Invariant: as a real one, it has one
 * order, never loses what it acknowledged, and delivers to a reader in order without gaps or repetition.
 */
import { type Clock, systemClock } from '@canopy/core';
import { replicationErrors } from '../errors.ts';
import type { AppendOptions, AppendResult, EventLog, EventLogInfo, Json, LogEvent } from '../ports/event-log.ts';
import { decodeEvent, encodeEvent } from './event-json.ts';
import { MemoryEventLog } from './memory-connection.ts';
import { checkTopic } from './topic.ts';

export interface MemoryLogCall {
  readonly node: string;
  readonly operation: 'append' | 'info' | 'trim' | 'deliver';
  readonly sequence?: number;
}

export interface MemoryLogFault {
  /** The request, or the delivery, arrives this much later; a request that arrives after its deadline is carried out nevertheless. */
  readonly delayMs?: number;
  /**
   * `fail`: EVENT_LOG_UNAVAILABLE, not carried out. `request-lost`: not carried out, and DEADLINE_EXCEEDED at the deadline.
   * `answer-lost`: carried out, and DEADLINE_EXCEEDED at the deadline. Of a delivery: the reader is interrupted until there is no outcome.
   */
  readonly outcome?: 'fail' | 'request-lost' | 'answer-lost';
}

export interface MemoryLogOptions {
  /** Default: the system's. */
  readonly clock?: Clock;
  /** Events that fit; then EVENT_LOG_FULL. Default: no limit. */
  readonly maxEvents?: number;
}

/** As the server's default. */
const DUPLICATE_WINDOW_MS = 120_000;
/** As the server's default. */
const EVENT_BYTES_MAX = 1024 * 1024 - 1024;

export class MemoryLog {
  readonly name: string;
  readonly clock: Clock;
  readonly createdAt: number;
  /** Asked before every call and delivery; may be replaced at any time. */
  fault: ((call: MemoryLogCall) => MemoryLogFault | undefined) | undefined;
  /** What is there, oldest first. */
  readonly events: LogEvent[] = [];
  readonly #maxEvents: number;
  readonly #seen = new Map<string, { sequence: number; at: number }>();
  readonly #wakers = new Set<() => void>();
  #last = 0;

  constructor(name: string, options: MemoryLogOptions = {}) {
    this.name = name;
    this.clock = options.clock ?? systemClock;
    this.createdAt = this.clock.wall();
    this.#maxEvents = options.maxEvents ?? Number.POSITIVE_INFINITY;
  }

  get lastSequence(): number {
    return this.#last;
  }

  /** A node's own way to the log; `node` is what the fault hook sees. */
  connect(node = 'node'): EventLog {
    return new MemoryEventLog(this, node);
  }

  /** The event as it will be stored. Throws EVENT_INVALID. @internal */
  accept(event: Json, options: AppendOptions): { readonly text: string; readonly topic: string } {
    const topic = checkTopic(options.topic ?? '');
    const text = encodeEvent(event);
    const size = Buffer.byteLength(text);
    const problem = `it has ${size} bytes, the log takes ${EVENT_BYTES_MAX}`;
    if (size > EVENT_BYTES_MAX) throw replicationErrors.create('EVENT_INVALID', { problem });
    return { text, topic };
  }

  /** @internal */
  append(accepted: { readonly text: string; readonly topic: string }, options: AppendOptions): AppendResult {
    const known = this.#known(options.messageId);
    const expected = options.expectedLastSequence;
    if (expected !== undefined && expected !== this.#last) {
      // The same append again, as it was: it is there.
      if (known === expected + 1) return { sequence: known, duplicate: true };
      throw replicationErrors.create('EVENT_LOG_CONFLICT', { log: this.name, expected });
    }
    if (known !== undefined) return { sequence: known, duplicate: true };
    if (this.events.length >= this.#maxEvents) throw replicationErrors.create('EVENT_LOG_FULL', { log: this.name });
    this.#last += 1;
    const { text, topic } = accepted;
    // What comes over a wire shares nothing with what was sent.
    this.events.push({
      sequence: this.#last,
      storedAt: this.clock.wall(),
      topic,
      event: decodeEvent(text) as Json,
    });
    if (options.messageId !== undefined)
      this.#seen.set(options.messageId, { sequence: this.#last, at: this.clock.monotonic() });
    for (const wake of [...this.#wakers]) wake();
    return { sequence: this.#last, duplicate: false };
  }

  /** @internal */
  trim(upTo: number): void {
    const first = this.events[0]?.sequence ?? this.#last + 1;
    this.events.splice(0, Math.max(0, Math.min(Math.floor(upTo), this.#last - 1) - first + 1));
  }

  /** @internal */
  info(): EventLogInfo {
    const firstSequence = this.events[0]?.sequence ?? this.#last + 1;
    return { firstSequence, lastSequence: this.#last, createdAt: this.createdAt };
  }

  /** The first event after this sequence. @internal */
  next(after: number): LogEvent | undefined {
    const first = this.events[0];
    if (first === undefined) return undefined;
    return this.events[Math.max(0, after + 1 - first.sequence)];
  }

  /** Calls back at every append; returns what ends it. @internal */
  onAppend(wake: () => void): () => void {
    this.#wakers.add(wake);
    return () => this.#wakers.delete(wake);
  }

  #known(messageId: string | undefined): number | undefined {
    const seen = messageId === undefined ? undefined : this.#seen.get(messageId);
    if (seen === undefined || this.clock.monotonic() - seen.at > DUPLICATE_WINDOW_MS) return undefined;
    return seen.sequence;
  }
}
