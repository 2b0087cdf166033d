/**
 * One node's way to a log in memory. Invariant: what arrives of its appends arrives in the order of the calls, whatever delay each has, and a
 * call whose request is lost holds up none behind it.
 */
import { type Clock, coreErrors } from '@canopy/core';
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
import { decodeEvent, encodeEvent } from './event-json.ts';
import type { MemoryLog, MemoryLogFault } from './memory-log.ts';
import { checkTopicFilter, matchesTopic } from './topic.ts';

const TIMEOUT_MS = 5000;
const RETRY_MS = 10;

interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number;
}

export class MemoryEventLog implements EventLog {
  readonly #log: MemoryLog;
  readonly #node: string;
  /** The last append that expects an end. */
  #tail: { readonly expected: number; open: boolean; failed: boolean } | undefined;
  readonly #arriving: { readonly dueAt: number; readonly run: () => void }[] = [];

  constructor(log: MemoryLog, node: string) {
    this.#log = log;
    this.#node = node;
  }

  get name(): string {
    return this.#log.name;
  }

  async send(events: readonly unknown[]): Promise<void> {
    const results = await Promise.allSettled(events.map((event) => this.append(event as Json)));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  async append(event: Json, options: AppendOptions = {}): Promise<AppendResult> {
    const accepted = this.#log.accept(event, options);
    const expected = options.expectedLastSequence;
    const follows = this.#tail?.open && this.#tail.expected + 1 === expected ? this.#tail : undefined;
    const link = { expected: expected ?? -1, open: true, failed: true };
    if (expected !== undefined) this.#tail = link;
    try {
      return await this.#call('append', options, () => {
        if (follows?.failed) throw replicationErrors.create('EVENT_LOG_CONFLICT', { log: this.name, expected });
        const appended = this.#log.append(accepted, options);
        link.failed = false;
        return appended;
      });
    } finally {
      link.open = false;
    }
  }

  async info(options: CallOptions = {}): Promise<EventLogInfo> {
    return this.#call('info', options, () => this.#log.info());
  }

  async trim(upTo: number, options: CallOptions = {}): Promise<void> {
    return this.#call('trim', options, () => this.#log.trim(upTo));
  }

  async *read(options: ReadOptions = {}): AsyncGenerator<LogReadEvent, void, undefined> {
    const { signal } = options;
    const topic = options.topic === undefined ? undefined : checkTopicFilter(options.topic);
    let position = options.after ?? 0;
    /** The end when the reader came, or came back: having that, it has caught up. */
    let end: number | undefined = this.#log.lastSequence;
    let interrupted = false;
    while (!signal?.aborted) {
      const event = this.#log.next(position);
      const first = event?.sequence ?? this.#log.info().firstSequence;
      if (first > position + 1) {
        position = first - 1;
        yield { type: 'trimmed', first };
        continue;
      }
      if (end !== undefined && position >= end) {
        yield { type: 'caught-up', sequence: end };
        end = undefined;
        continue;
      }
      if (event === undefined) {
        await this.#nextAppend(position, signal);
        continue;
      }
      const fault = await this.#deliver(event, signal);
      if (signal?.aborted) return;
      if (fault !== undefined) {
        if (!interrupted) yield { type: 'interrupted', reason: 'planned' };
        interrupted = true;
        await this.#log.clock.sleep(RETRY_MS, { signal }).catch(() => {});
        end = this.#log.lastSequence;
        continue;
      }
      interrupted = false;
      position = event.sequence;
      if (matchesTopic(topic, event.topic)) yield { type: 'event', ...event, event: copy(event.event) };
    }
  }

  /** The outcome that keeps the event from arriving, if any. */
  async #deliver(event: LogEvent, signal: AbortSignal | undefined): Promise<MemoryLogFault['outcome']> {
    const fault = this.#log.fault?.({ node: this.#node, operation: 'deliver', sequence: event.sequence });
    if (fault?.delayMs !== undefined) await this.#log.clock.sleep(fault.delayMs, { signal }).catch(() => {});
    return fault?.outcome;
  }

  async #nextAppend(position: number, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted || this.#log.lastSequence > position) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const wake = (): void => resolve();
    const forget = this.#log.onAppend(wake);
    signal?.addEventListener('abort', wake, { once: true });
    await promise;
    forget();
    signal?.removeEventListener('abort', wake);
  }

  #call<T>(operation: 'append' | 'info' | 'trim', options: CallOptions, act: () => T): Promise<T> {
    const { signal, timeoutMs = TIMEOUT_MS } = options;
    signal?.throwIfAborted();
    const { clock, name: log } = this.#log;
    const { outcome, delayMs = 0 } = this.#log.fault?.({ node: this.#node, operation }) ?? {};
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const expire = (): void =>
      reject(coreErrors.create('DEADLINE_EXCEEDED', { operation: `${operation} ${log}`, timeoutMs }));
    const timer = clock.timer(timeoutMs, expire);
    const abort = (): void => reject(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    this.#arrive(clock, delayMs, () => {
      try {
        if (outcome === 'fail') throw replicationErrors.create('EVENT_LOG_UNAVAILABLE', { log, operation });
        if (outcome === 'request-lost') return;
        const result = act();
        if (outcome === undefined) resolve(result);
      } catch (error) {
        if (outcome !== 'answer-lost') reject(error);
      }
    });
    return promise.finally(() => {
      timer.cancel();
      signal?.removeEventListener('abort', abort);
    });
  }

  /** Runs it this much later, or when what is before it has arrived; at once where nothing is to be waited for. */
  #arrive(clock: Clock, delayMs: number, run: () => void): void {
    const now = clock.monotonic();
    const dueAt = Math.max(now + delayMs, this.#arriving.at(-1)?.dueAt ?? 0);
    if (dueAt <= now && this.#arriving.length === 0) {
      run();
      return;
    }
    const arrival = { dueAt, run };
    this.#arriving.push(arrival);
    clock.timer(Math.max(0, dueAt - now), () => {
      while (this.#arriving.includes(arrival)) this.#arriving.shift()?.run();
    });
  }
}

function copy(event: Json): Json {
  return decodeEvent(encodeEvent(event)) as Json;
}
