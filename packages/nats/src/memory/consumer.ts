/** The twin of a durable consumer: what is due again first, then what is new, within the limit of what may be pending. */
import { natsErrors } from '../errors.ts';
import { subjectMatches } from '../kv/subjects.ts';
import type {
  StreamCallOptions,
  StreamConsumer,
  StreamConsumerInfo,
  StreamDelivery,
  StreamFetchOptions,
  StreamMessage,
} from '../streams/port.ts';
import type { ConsumerState, StreamTable } from './stream-table.ts';
import type { MemoryWire } from './wire.ts';

const TIMEOUT_MS = 5000;
const ACK_WAIT_MS = 30_000;
const BATCH_BYTES = 4 * 1024 * 1024;

interface Held {
  readonly table: StreamTable;
  readonly state: ConsumerState;
}

export class MemoryConsumer implements StreamConsumer {
  readonly name: string;
  readonly #wire: MemoryWire;
  readonly #stream: string;

  constructor(wire: MemoryWire, stream: string, name: string) {
    this.#wire = wire;
    this.#stream = stream;
    this.name = name;
  }

  async fetch(options: StreamFetchOptions = {}): Promise<readonly StreamDelivery[]> {
    const { waitMs = TIMEOUT_MS, signal, max = 100, maxBytes = BATCH_BYTES } = options;
    const { clock } = this.#wire.env;
    const endsAt = clock.monotonic() + waitMs;
    for (;;) {
      signal?.throwIfAborted();
      this.#wire.requireOpen();
      const now = clock.monotonic();
      let dueAt = endsAt;
      if (this.#wire.up) {
        const held = this.#held();
        const batch = this.#take(held, max, maxBytes);
        if (batch.length > 0) return batch;
        dueAt = Math.min(endsAt, ...[...held.state.pending.values()].map((entry) => entry.dueAt));
      }
      if (now >= endsAt) return [];
      await this.#change(Math.max(1, dueAt - now), signal);
    }
  }

  info(options: StreamCallOptions = {}): Promise<StreamConsumerInfo> {
    return this.#call('consumer-info', options, ({ table, state }) => {
      const unacked = [...state.pending.keys()];
      return {
        pending: this.#matching(table, state).filter(({ sequence }) => sequence > state.cursor).length,
        ackPending: unacked.length,
        ackFloor: unacked.length === 0 ? state.cursor : Math.min(...unacked) - 1,
        redelivered: [...state.pending.values()].filter(({ attempt }) => attempt > 1).length,
      };
    });
  }

  #take({ table, state }: Held, max: number, maxBytes: number): StreamDelivery[] {
    const now = table.clock.monotonic();
    const { ackWaitMs = ACK_WAIT_MS, maxDeliver = Number.POSITIVE_INFINITY, maxAckPending = 1000 } = state.options;
    const batch: StreamMessage[] = [];
    let bytes = 0;
    const deliver = (message: StreamMessage, attempt: number): void => {
      state.pending.set(message.sequence, { attempt, dueAt: now + ackWaitMs });
      bytes += message.data.length;
      batch.push(message);
    };
    for (const [sequence, { attempt, dueAt }] of [...state.pending].sort(([a], [b]) => a - b)) {
      if (batch.length >= max || bytes >= maxBytes) break;
      if (dueAt > now) continue;
      const message = table.at(sequence);
      if (message === undefined || attempt >= maxDeliver) state.pending.delete(sequence);
      else deliver(message, attempt + 1);
    }
    for (const message of this.#matching(table, state)) {
      if (batch.length >= max || bytes >= maxBytes || state.pending.size >= maxAckPending) break;
      if (message.sequence <= state.cursor) continue;
      state.cursor = message.sequence;
      deliver(message, 1);
    }
    const pending = this.#matching(table, state).filter(({ sequence }) => sequence > state.cursor).length;
    return batch.map((message) => this.#delivery(message, state, pending));
  }

  #matching(table: StreamTable, { options: { filter } }: ConsumerState): StreamMessage[] {
    return filter === undefined
      ? table.messages
      : table.messages.filter(({ subject }) => subjectMatches(filter, subject));
  }

  #delivery(message: StreamMessage, state: ConsumerState, pending: number): StreamDelivery {
    const { sequence } = message;
    const attempt = state.pending.get(sequence)?.attempt ?? 1;
    const end = (options: StreamCallOptions = {}): Promise<void> =>
      this.#call('ack', options, ({ table }) => {
        state.pending.delete(sequence);
        table.changed();
      });
    const later = (delayMs: number): void => {
      const entry = state.pending.get(sequence);
      const { outcome } = this.#wire.faultOf({ port: 'streams', operation: 'nak', bucket: this.#stream });
      const isLost = outcome === 'fail' || outcome === 'request-lost';
      if (entry?.attempt !== attempt || !this.#wire.up || isLost) return;
      const { table } = this.#held();
      entry.dueAt = table.clock.monotonic() + delayMs;
      table.changed();
    };
    return {
      ...message,
      attempt,
      pending,
      ack: end,
      term: end,
      nak: (delayMs = 0) => later(delayMs),
      working: () => later(state.options.ackWaitMs ?? ACK_WAIT_MS),
    };
  }

  #held(): Held {
    const table = this.#wire.hub.streams.get(this.#stream);
    if (table === undefined) throw natsErrors.create('STREAM_MISSING', { stream: this.#stream });
    const state = table.consumers.get(this.name);
    if (state === undefined)
      throw natsErrors.create('STREAM_CONSUMER_MISSING', { stream: this.#stream, consumer: this.name });
    return { table, state };
  }

  #call<T>(operation: string, options: StreamCallOptions, work: (held: Held) => T): Promise<T> {
    const bounds = { timeoutMs: options.timeoutMs ?? TIMEOUT_MS, signal: options.signal };
    return this.#wire.call({ port: 'streams', operation, bucket: this.#stream, key: this.name }, bounds, () =>
      work(this.#held()),
    );
  }

  /** Waits for a change of the stream or the wire, at most `timeoutMs`. */
  async #change(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const forgetWire = this.#wire.onChange(resolve);
    const forgetTable = this.#wire.hub.streams.get(this.#stream)?.listen(resolve);
    const timer = this.#wire.env.clock.timer(timeoutMs, resolve);
    signal?.addEventListener('abort', () => resolve(), { once: true });
    await promise;
    timer.cancel();
    forgetWire();
    forgetTable?.();
  }
}
