/** The Bus port on core NATS: at most once, nothing kept, nothing repeated. */
import { Broadcast, coreErrors } from '@canopy/core';
import { headers, type Msg, type MsgHdrs } from '@nats-io/transport-node';
import { natsErrors } from '../errors.ts';
import { transportFault } from '../jetstream/failures.ts';
import { type Link, LinkBroken } from '../session/link.ts';
import type { Bus, BusMessage } from './port.ts';

const TIMEOUT_MS = 2000;
const FLUSH_MS = 5000;
const BUFFERED = 8192;
type Headers = Readonly<Record<string, string>>;

export class BusAdapter implements Bus {
  readonly #link: Link;

  constructor(link: Link) {
    this.#link = link;
  }

  publish(subject: string, data: Uint8Array, hdrs?: Headers): void {
    this.#link.requireOpen();
    this.#checkSize(subject, data, hdrs);
    this.#link.nc.publish(subject, data, withHeaders(hdrs));
  }

  async request(
    subject: string,
    data: Uint8Array,
    options: { timeoutMs?: number; signal?: AbortSignal | undefined; headers?: Headers } = {},
  ): Promise<BusMessage> {
    const { timeoutMs = TIMEOUT_MS, signal } = options;
    const started = this.#link.env.clock.monotonic();
    this.#checkSize(subject, data, options.headers);
    await this.#link.whenConnected(timeoutMs, signal);
    const leftMs = timeoutMs - (this.#link.env.clock.monotonic() - started);
    try {
      const call = { timeoutMs: leftMs, signal, ...withHeaders(options.headers) };
      return toMessage(await this.#link.request(subject, data, call));
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw this.#failure(subject, error, timeoutMs);
    }
  }

  subscribe(
    subject: string,
    options: { queue?: string; signal?: AbortSignal | undefined } = {},
  ): AsyncIterable<BusMessage> {
    this.#link.requireOpen();
    const messages = new Broadcast<BusMessage>({ capacity: BUFFERED });
    let failure: unknown;
    const subscription = this.#link.nc.subscribe(subject, {
      ...(options.queue === undefined ? {} : { queue: options.queue }),
      callback: (error, message) => {
        if (error === null) return messages.send(toMessage(message));
        failure = this.#failure(subject, error, 0);
        messages.close();
      },
    });
    const ended = AbortSignal.any([this.#link.closing, ...(options.signal === undefined ? [] : [options.signal])]);
    const inner = messages.watch({ signal: ended });
    const unsubscribe = (): void => subscription.unsubscribe();
    if (ended.aborted) unsubscribe();
    else ended.addEventListener('abort', unsubscribe, { once: true });
    const iterator: AsyncIterableIterator<BusMessage> = {
      async next() {
        const result = await inner.next();
        if (result.done && failure !== undefined && !ended.aborted) throw failure;
        return result;
      },
      async return() {
        unsubscribe();
        ended.removeEventListener('abort', unsubscribe);
        return { value: (await inner.return?.())?.value, done: true };
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  async flush(): Promise<void> {
    await this.#link.whenConnected(FLUSH_MS);
    const broken = Promise.withResolvers<never>();
    const forget = this.#link.onBroken(broken.reject);
    const timer = this.#link.env.clock.timer(FLUSH_MS, () =>
      broken.reject(coreErrors.create('DEADLINE_EXCEEDED', { operation: 'flush', timeoutMs: FLUSH_MS })),
    );
    try {
      await Promise.race([this.#link.nc.flush(), broken.promise]);
    } finally {
      timer.cancel();
      forget();
    }
  }

  #failure(subject: string, error: unknown, timeoutMs: number): unknown {
    const operation = `message to ${subject}`;
    if (error instanceof LinkBroken && !this.#link.closing.aborted)
      return coreErrors.create('DEADLINE_EXCEEDED', { operation, timeoutMs }, error);
    const terminal = this.#link.terminal(operation, error);
    if (terminal !== undefined) return terminal;
    switch (transportFault(error)) {
      case 'no-responders':
        return natsErrors.create('BUS_NO_RESPONDERS', { subject }, error);
      case 'timeout':
        return coreErrors.create('DEADLINE_EXCEEDED', { operation, timeoutMs }, error);
      default:
        return error;
    }
  }

  #checkSize(subject: string, data: Uint8Array, hdrs: Headers = {}): void {
    let size = data.length;
    for (const [name, value] of Object.entries(hdrs)) size += name.length + value.length + 6;
    const limit = this.#link.maxPayload;
    if (size > limit) throw natsErrors.create('BUS_PAYLOAD_TOO_LARGE', { subject, size, limit });
  }
}

function withHeaders(record: Headers | undefined): { headers?: MsgHdrs } {
  if (record === undefined) return {};
  const hdrs = headers();
  for (const [name, value] of Object.entries(record)) hdrs.set(name, value);
  return { headers: hdrs };
}

function toMessage(message: Msg): BusMessage {
  const record: Record<string, string> = {};
  for (const [name, values] of message.headers ?? []) record[name] = values[0] ?? '';
  return {
    subject: message.subject,
    data: message.data,
    headers: record,
    respond: (data, hdrs) => void message.respond(data, withHeaders(hdrs)),
  };
}
