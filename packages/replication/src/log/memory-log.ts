/**
 * A log in memory, for tests and simulation: one `MemoryLog` is what all nodes share, `connect` gives a node its own way to it. The fault
 * hook decides for every call and every delivery whether it is late, lost or refused. Invariant: as a real one, it has one
 * order, never loses what it acknowledged, and delivers to a reader in order without gaps or repetition.
 */
import { type Clock, coreErrors, systemClock } from '@canopy/core';
import { replicationErrors } from '../errors.ts';
import type {
  AppendOptions,
  AppendResult,
  EventLog,
  EventLogInfo,
  Json,
  LogEvent,
  LogReadEvent,
  ReadOptions,
} from '../ports/event-log.ts';
import { matchesTopic } from './topic.ts';

export interface MemoryLogCall {
  readonly node: string;
  readonly operation: 'append' | 'info' | 'trim' | 'deliver';
  readonly sequence?: number;
}

export interface MemoryLogFault {
  /** The request, or the delivery, arrives this much later. */
  readonly delayMs?: number;
  /**
   * `fail`: EVENT_LOG_UNAVAILABLE, not carried out. `request-lost`: not carried out, and DEADLINE_EXCEEDED at the deadline.
   * `answer-lost`: carried out, and DEADLINE_EXCEEDED at the deadline.
   */
  readonly outcome?: 'fail' | 'request-lost' | 'answer-lost';
}

export interface MemoryLogOptions {
  /** Default: the system's. */
  readonly clock?: Clock;
  /** Events that fit; then EVENT_LOG_FULL. Default: no limit. */
  readonly maxEvents?: number;
}

const TIMEOUT_MS = 5000;
/** As the server's default. */
const DUPLICATE_WINDOW_MS = 120_000;

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

  /** @internal */
  append(event: Json, options: AppendOptions): AppendResult {
    const known = this.#known(options.messageId);
    if (known !== undefined) return { sequence: known, duplicate: true };
    const expected = options.expectedLastSequence;
    if (expected !== undefined && expected !== this.#last)
      throw replicationErrors.create('EVENT_LOG_CONFLICT', { log: this.name, expected });
    if (this.events.length >= this.#maxEvents) throw replicationErrors.create('EVENT_LOG_FULL', { log: this.name });
    this.#last += 1;
    const topic = options.topic ?? '';
    this.events.push({ sequence: this.#last, storedAt: this.clock.wall(), topic, event: copy(event) });
    if (options.messageId !== undefined)
      this.#seen.set(options.messageId, { sequence: this.#last, at: this.clock.monotonic() });
    for (const wake of [...this.#wakers]) wake();
    return { sequence: this.#last, duplicate: false };
  }

  /** @internal */
  trim(upTo: number): void {
    const keep = this.events.findIndex(({ sequence }) => sequence > upTo || sequence === this.#last);
    if (keep > 0) this.events.splice(0, keep);
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

  /** Calls back at the next append; returns what ends it. @internal */
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

class MemoryEventLog implements EventLog {
  readonly #log: MemoryLog;
  readonly #node: string;
  /** Appends of one caller stay in order, whatever each one's delay. */
  #before: Promise<unknown> = Promise.resolve();

  constructor(log: MemoryLog, node: string) {
    this.#log = log;
    this.#node = node;
  }

  get name(): string {
    return this.#log.name;
  }

  async send(events: readonly unknown[]): Promise<void> {
    for (const event of events) await this.append(event as Json);
  }

  append(event: Json, options: AppendOptions = {}): Promise<AppendResult> {
    const { signal, timeoutMs } = options;
    const turn = this.#before;
    const appended = this.#call('append', signal, timeoutMs, () => this.#log.append(event, options), turn);
    this.#before = appended.catch(() => {});
    return appended;
  }

  info(options: { signal?: AbortSignal | undefined; timeoutMs?: number } = {}): Promise<EventLogInfo> {
    return this.#call('info', options.signal, options.timeoutMs, () => this.#log.info());
  }

  trim(upTo: number, options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    return this.#call('trim', options.signal, undefined, () => this.#log.trim(upTo));
  }

  async *read(options: ReadOptions = {}): AsyncGenerator<LogReadEvent, void, undefined> {
    const { signal } = options;
    let position = options.after ?? 0;
    /** What the end was when the reader came: having that, it has caught up. */
    let end = this.#log.lastSequence;
    let told = false;
    const first = this.#log.info().firstSequence;
    if (first > position + 1) yield { type: 'trimmed', first };
    while (!signal?.aborted) {
      const event = this.#log.next(position);
      if (event === undefined || event.sequence > end) {
        if (!told) yield { type: 'caught-up', sequence: end };
        told = true;
        end = Number.POSITIVE_INFINITY;
      }
      if (event === undefined) {
        await this.#nextAppend(signal);
        continue;
      }
      const fault = this.#log.fault?.({ node: this.#node, operation: 'deliver', sequence: event.sequence });
      if (fault?.delayMs !== undefined) await this.#log.clock.sleep(fault.delayMs, { signal }).catch(() => {});
      if (signal?.aborted) return;
      if (fault?.outcome !== undefined) {
        yield { type: 'interrupted', reason: 'planned' };
        [told, end] = [false, this.#log.lastSequence];
        await this.#log.clock.sleep(1, { signal }).catch(() => {});
        continue;
      }
      // Trimmed while the reader was behind: nothing leaves a log but from its front.
      if (event.sequence > position + 1 && position !== (options.after ?? 0))
        yield { type: 'trimmed', first: event.sequence };
      position = event.sequence;
      if (matchesTopic(options.topic, event.topic)) yield { type: 'event', ...event, event: copy(event.event) };
    }
  }

  #nextAppend(signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const forget = this.#log.onAppend(resolve);
    signal?.addEventListener('abort', () => resolve(), { once: true });
    return promise.finally(forget);
  }

  async #call<T>(
    operation: 'append' | 'info' | 'trim',
    signal: AbortSignal | undefined,
    timeoutMs: number = TIMEOUT_MS,
    act: () => T,
    turn?: Promise<unknown>,
  ): Promise<T> {
    signal?.throwIfAborted();
    const { clock, name } = this.#log;
    const fault = this.#log.fault?.({ node: this.#node, operation });
    await turn;
    if (fault?.delayMs !== undefined) await clock.sleep(Math.min(fault.delayMs, timeoutMs), { signal });
    if (fault?.outcome === 'fail') throw replicationErrors.create('EVENT_LOG_UNAVAILABLE', { log: name, operation });
    if (fault?.outcome === undefined) return act();
    if (fault.outcome === 'answer-lost') act();
    await clock.sleep(timeoutMs, { signal });
    throw coreErrors.create('DEADLINE_EXCEEDED', { operation: `${operation} ${name}`, timeoutMs });
  }
}

/** What came over a wire shares nothing with what was sent. */
function copy(event: Json): Json {
  return JSON.parse(JSON.stringify(event)) as Json;
}
