/**
 * The twin's connection of one session: up or cut, and the fate of each call on it. A call that is cut off before it
 * was carried out waits for the connection and is then carried out, as the real adapter's retry would; one whose answer
 * is lost ends with DEADLINE_EXCEEDED.
 */
import { abortable, Broadcast, coreErrors, type Env } from '@canopy/core';
import { natsErrors } from '../errors.ts';
import type { SessionEvent } from '../session/port.ts';
import type { MemoryCall, MemoryFault, MemoryNats } from './hub.ts';

export interface MemoryCallOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export class MemoryWire {
  readonly hub: MemoryNats;
  readonly env: Env;
  readonly name: string;
  readonly #events = new Broadcast<SessionEvent>({ capacity: 256 });
  readonly #closing = new AbortController();
  readonly #onChange = new Set<() => void>();
  #up = true;
  #reason = '';
  reconnects = 0;

  constructor(hub: MemoryNats, name: string, env: Env) {
    this.hub = hub;
    this.name = name;
    this.env = env;
  }

  get up(): boolean {
    return this.#up && !this.closing.aborted;
  }

  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  get downReason(): string {
    return this.#reason;
  }

  cut(reason: string): void {
    if (!this.up) return;
    this.#up = false;
    this.#reason = reason;
    this.#events.send({ type: 'disconnected', reason });
    this.#changed();
  }

  heal(): void {
    if (this.#up || this.closing.aborted) return;
    this.#up = true;
    this.reconnects += 1;
    this.#events.send({ type: 'connected', server: 'memory' });
    this.#changed();
  }

  close(): void {
    if (this.closing.aborted) return;
    this.#closing.abort(natsErrors.create('NATS_CLOSED'));
    this.#events.send({ type: 'closed', error: undefined });
    this.#events.close();
    this.#changed();
  }

  /** Calls `run` whenever the wire goes up or down or closes. */
  onChange(run: () => void): () => void {
    this.#onChange.add(run);
    return () => void this.#onChange.delete(run);
  }

  #changed(): void {
    for (const run of [...this.#onChange]) run();
  }

  watch(options: { signal?: AbortSignal | undefined }): AsyncIterable<SessionEvent> {
    const first: SessionEvent = this.closing.aborted
      ? { type: 'closed', error: undefined }
      : this.#up
        ? { type: 'connected', server: 'memory' }
        : { type: 'disconnected', reason: this.#reason };
    return this.#events.watch({ ...options, first: [first] });
  }

  requireOpen(): void {
    if (this.closing.aborted) throw natsErrors.create('NATS_CLOSED');
  }

  faultOf(call: Omit<MemoryCall, 'session'>): MemoryFault {
    return this.hub.fault?.({ session: this.name, ...call }) ?? {};
  }

  async call<T>(call: Omit<MemoryCall, 'session'>, options: MemoryCallOptions, execute: () => T): Promise<T> {
    options.signal?.throwIfAborted();
    this.requireOpen();
    const signal = AbortSignal.any([this.closing, ...(options.signal === undefined ? [] : [options.signal])]);
    const operation = `${call.operation} ${call.bucket ?? ''}/${call.key ?? ''}`;
    const endsAt = this.env.clock.monotonic() + options.timeoutMs;
    const fault = this.faultOf(call);
    if (fault.outcome === 'fail') throw natsErrors.create('JETSTREAM_UNAVAILABLE', { operation });
    const expire = async (): Promise<never> => {
      await this.#sleepUntil(endsAt, signal);
      throw coreErrors.create('DEADLINE_EXCEEDED', { operation, timeoutMs: options.timeoutMs });
    };
    const pause = async (ms: number | undefined): Promise<void> => {
      if (ms === undefined || ms <= 0) return;
      const until = this.env.clock.monotonic() + ms;
      if (until >= endsAt) return expire();
      await this.#sleepUntil(until, signal);
    };
    await pause(fault.delayMs);
    if (!this.#up && !(await this.#upBefore(endsAt, signal)))
      throw natsErrors.create('NATS_UNREACHABLE', { servers: 'memory' });
    if (fault.outcome === 'request-lost') return expire();
    const result = execute();
    if (fault.outcome === 'answer-lost') return expire();
    await pause(fault.answerDelayMs);
    // The next turn: an answer never comes before the call has returned its promise.
    await abortable(Promise.resolve(), signal);
    if (!this.#up && !(await this.#upBefore(endsAt, signal))) return expire();
    return result;
  }

  #sleepUntil(at: number, signal: AbortSignal): Promise<void> {
    return this.env.clock.sleep(Math.max(0, at - this.env.clock.monotonic()), { signal });
  }

  async #upBefore(endsAt: number, signal: AbortSignal): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const timer = this.env.clock.timer(Math.max(0, endsAt - this.env.clock.monotonic()), () => resolve(false));
    const forget = this.onChange(() => {
      if (this.#up) resolve(true);
    });
    try {
      return await abortable(promise, signal);
    } finally {
      timer.cancel();
      forget();
    }
  }
}
