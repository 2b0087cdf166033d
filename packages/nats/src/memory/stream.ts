/** The Stream port's twin. */
import { natsErrors } from '../errors.ts';
import { subjectMatches } from '../kv/subjects.ts';
import type {
  Stream,
  StreamAppended,
  StreamAppendOptions,
  StreamCallOptions,
  StreamConsumer,
  StreamConsumerOptions,
  StreamMessage,
  StreamReadEvent,
  StreamReadOptions,
  StreamStatus,
} from '../streams/port.ts';
import { MemoryConsumer } from './consumer.ts';
import type { StreamTable } from './stream-table.ts';
import type { MemoryWire } from './wire.ts';

const TIMEOUT_MS = 5000;
const MAX_PAYLOAD = 1024 * 1024 - 1024;

export class MemoryStream implements Stream {
  readonly name: string;
  readonly #wire: MemoryWire;
  /** Settles when the append before has been carried out, or never will be. */
  #turn: Promise<void> = Promise.resolve();
  /** The last append that expects an end. */
  #tail: { readonly expected: number; open: boolean; failed: boolean } | undefined;

  constructor(wire: MemoryWire, name: string) {
    this.#wire = wire;
    this.name = name;
  }

  async append(subject: string, data: Uint8Array, options: StreamAppendOptions = {}): Promise<StreamAppended> {
    const size = data.length;
    if (size > MAX_PAYLOAD)
      throw natsErrors.create('STREAM_MESSAGE_TOO_LARGE', { stream: this.name, size, limit: MAX_PAYLOAD });
    const { clock } = this.#wire.env;
    const endsAt = clock.monotonic() + (options.timeoutMs ?? TIMEOUT_MS);
    const before = this.#turn;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#turn = promise;
    const { messageId, expectedLastSequence: expected, headers = {} } = options;
    const follows = this.#tail?.open && this.#tail.expected + 1 === expected ? this.#tail : undefined;
    const link = { expected: expected ?? -1, open: true, failed: true };
    if (expected !== undefined) this.#tail = link;
    try {
      await before;
      const timeoutMs = endsAt - clock.monotonic();
      if (timeoutMs <= 0) throw natsErrors.create('JETSTREAM_UNAVAILABLE', { operation: `append to ${this.name}` });
      return await this.#call('append', { ...options, timeoutMs }, (table) => {
        try {
          if (follows?.failed) throw natsErrors.create('STREAM_CONFLICT', { stream: this.name, expected });
          const appended = table.append(subject, data, headers, messageId, expected);
          link.failed = false;
          return appended;
        } finally {
          resolve();
        }
      });
    } finally {
      link.open = false;
      resolve();
    }
  }

  async *read(options: StreamReadOptions = {}): AsyncGenerator<StreamReadEvent, void, undefined> {
    this.#wire.requireOpen();
    const { closing } = this.#wire;
    const signal = options.signal === undefined ? closing : AbortSignal.any([closing, options.signal]);
    const matches = (subject: string): boolean =>
      options.filter === undefined || subjectMatches(options.filter, subject);
    const table = this.#table();
    let position = options.after ?? 0;
    while (!signal.aborted) {
      if (!this.#wire.up) {
        yield { type: 'interrupted', reason: this.#wire.downReason };
        await this.#until(() => this.#wire.up, signal);
        continue;
      }
      if (this.#table() !== table) throw natsErrors.create('STREAM_MISSING', { stream: this.name });
      const end = table.lastSequence;
      let caughtUp = false;
      while (this.#wire.up && !signal.aborted) {
        const message = table.next(position);
        const first = message?.sequence ?? table.firstSequence;
        if (first > position + 1) {
          position = first - 1;
          yield { type: 'trimmed', first };
          continue;
        }
        if (!caughtUp && position >= end) {
          caughtUp = true;
          yield { type: 'caught-up', sequence: end };
          continue;
        }
        if (message === undefined) {
          await this.#until(() => table.lastSequence > position || !this.#wire.up, signal);
          continue;
        }
        if (!(await this.#arrives(message, signal))) continue;
        position = message.sequence;
        if (matches(message.subject)) yield { type: 'message', message };
      }
    }
  }

  message(sequence: number, options: StreamCallOptions = {}): Promise<StreamMessage | undefined> {
    return this.#call('message', options, (table) => table.at(sequence));
  }

  lastMessage(filter: string, options: StreamCallOptions = {}): Promise<StreamMessage | undefined> {
    return this.#call('lastMessage', options, ({ messages }) =>
      messages.findLast(({ subject }) => subjectMatches(filter, subject)),
    );
  }

  purge(upTo: number, options: StreamCallOptions = {}): Promise<number> {
    return this.#call('purge', options, (table) => table.purge(upTo));
  }

  info(options: StreamCallOptions = {}): Promise<StreamStatus> {
    return this.#call('info', options, (table) => ({
      name: this.name,
      replicas: table.options.replicas ?? 1,
      createdAt: table.createdAt,
      firstSequence: table.firstSequence,
      lastSequence: table.lastSequence,
      messages: table.messages.length,
      bytes: table.bytes,
      maxBytes: table.options.maxBytes,
      serverTime: this.#wire.hub.clock.wall(),
    }));
  }

  async consumer(name: string, options: StreamConsumerOptions & StreamCallOptions = {}): Promise<StreamConsumer> {
    await this.#call('consumer', options, (table) => {
      const present = table.consumers.get(name);
      if (present === undefined) table.consumers.set(name, { options, cursor: options.after ?? 0, pending: new Map() });
      else present.options = options;
    });
    return new MemoryConsumer(this.#wire, this.name, name);
  }

  async removeConsumer(name: string, options: StreamCallOptions = {}): Promise<void> {
    await this.#call('removeConsumer', options, (table) => {
      table.consumers.delete(name);
      table.changed();
    });
  }

  #table(): StreamTable {
    const table = this.#wire.hub.streams.get(this.name);
    if (table === undefined) throw natsErrors.create('STREAM_MISSING', { stream: this.name });
    return table;
  }

  #call<T>(operation: string, options: StreamCallOptions, work: (table: StreamTable) => T): Promise<T> {
    const bounds = { timeoutMs: options.timeoutMs ?? TIMEOUT_MS, signal: options.signal };
    return this.#wire.call({ port: 'streams', operation, bucket: this.name }, bounds, () => work(this.#table()));
  }

  /** Whether the message gets here: late perhaps, and not through a wire that was cut. */
  async #arrives(message: StreamMessage, signal: AbortSignal): Promise<boolean> {
    const call = { port: 'streams', operation: 'deliver', bucket: this.name, key: message.subject } as const;
    const { delayMs = 0 } = this.#wire.faultOf(call);
    if (delayMs > 0) await this.#wire.env.clock.sleep(delayMs, { signal }).catch(() => {});
    return this.#wire.up && !signal.aborted;
  }

  /** Resolves when the condition holds after a change of the stream or of the wire, or the signal aborts. */
  async #until(condition: () => boolean, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = (): void => {
      if (condition() || signal.aborted) resolve();
    };
    const forgetWire = this.#wire.onChange(look);
    const forgetTable = this.#wire.hub.streams.get(this.name)?.listen(look);
    signal.addEventListener('abort', look, { once: true });
    look();
    await promise;
    forgetWire();
    forgetTable?.();
    signal.removeEventListener('abort', look);
  }
}
