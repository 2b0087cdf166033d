/** The Bus port's twin. What is published while the session is cut is lost. */
import { abortable, Broadcast, coreErrors } from '@canopy/core';
import type { Bus, BusMessage } from '../bus/port.ts';
import { natsErrors } from '../errors.ts';
import type { Envelope } from './switchboard.ts';
import type { MemoryWire } from './wire.ts';

const TIMEOUT_MS = 2000;
const MAX_PAYLOAD = 1024 * 1024;
const BUFFERED = 8192;
type Headers = Readonly<Record<string, string>>;

export class MemoryBus implements Bus {
  readonly #wire: MemoryWire;

  constructor(wire: MemoryWire) {
    this.#wire = wire;
  }

  publish(subject: string, data: Uint8Array, headers: Headers = {}): void {
    this.#wire.requireOpen();
    checkSize(subject, data);
    this.#send({ subject, data: Uint8Array.from(data), headers, respond: () => {} });
  }

  async request(
    subject: string,
    data: Uint8Array,
    options: { timeoutMs?: number; signal?: AbortSignal | undefined; headers?: Headers } = {},
  ): Promise<BusMessage> {
    checkSize(subject, data);
    this.#wire.requireOpen();
    const { timeoutMs = TIMEOUT_MS, signal, headers = {} } = options;
    const started = this.#wire.env.clock.monotonic();
    const answer = Promise.withResolvers<BusMessage>();
    const call = { port: 'bus', operation: 'request', key: subject } as const;
    await this.#wire.call(call, { timeoutMs, signal }, () => {
      const respond = (body: Uint8Array, hdrs: Headers): void =>
        answer.resolve({ subject: '_INBOX', data: body, headers: hdrs, respond: () => {} });
      const reached = this.#wire.hub.switchboard.send({ subject, data: Uint8Array.from(data), headers, respond });
      if (reached === 0) throw natsErrors.create('BUS_NO_RESPONDERS', { subject });
    });
    const leftMs = Math.max(0, started + timeoutMs - this.#wire.env.clock.monotonic());
    const operation = `message to ${subject}`;
    const timer = this.#wire.env.clock.timer(leftMs, () =>
      answer.reject(coreErrors.create('DEADLINE_EXCEEDED', { operation, timeoutMs })),
    );
    try {
      return await abortable(abortable(answer.promise, this.#wire.closing), signal);
    } finally {
      timer.cancel();
    }
  }

  subscribe(
    subject: string,
    options: { queue?: string; signal?: AbortSignal | undefined } = {},
  ): AsyncIterable<BusMessage> {
    this.#wire.requireOpen();
    const messages = new Broadcast<BusMessage>({ capacity: BUFFERED });
    const ended = AbortSignal.any([this.#wire.closing, ...(options.signal === undefined ? [] : [options.signal])]);
    const inner = messages.watch({ signal: ended });
    const remove = this.#wire.hub.switchboard.add({
      pattern: subject,
      queue: options.queue,
      reachable: () => this.#wire.up,
      deliver: (envelope) => this.#deliver(envelope, messages),
    });
    if (ended.aborted) remove();
    else ended.addEventListener('abort', remove, { once: true });
    const iterator: AsyncIterableIterator<BusMessage> = {
      next: () => inner.next(),
      async return() {
        remove();
        ended.removeEventListener('abort', remove);
        await inner.return?.();
        return { value: undefined, done: true };
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  async flush(): Promise<void> {
    await this.#wire.call({ port: 'bus', operation: 'flush' }, { timeoutMs: 5000 }, () => {});
  }

  #send(envelope: Envelope): void {
    const fault = this.#wire.faultOf({ port: 'bus', operation: 'publish', key: envelope.subject });
    if (!this.#wire.up || fault.outcome === 'fail' || fault.outcome === 'request-lost') return;
    const send = (): void => void this.#wire.hub.switchboard.send(envelope);
    if (fault.delayMs === undefined || fault.delayMs <= 0) send();
    else this.#wire.env.clock.timer(fault.delayMs, send);
  }

  #deliver(envelope: Envelope, messages: Broadcast<BusMessage>): void {
    const { subject, data, headers } = envelope;
    messages.send({
      subject,
      data,
      headers,
      respond: (body, hdrs = {}) => {
        if (this.#wire.up) envelope.respond(Uint8Array.from(body), hdrs);
      },
    });
  }
}

function checkSize(subject: string, data: Uint8Array): void {
  const size = data.length;
  if (size > MAX_PAYLOAD) throw natsErrors.create('BUS_PAYLOAD_TOO_LARGE', { subject, size, limit: MAX_PAYLOAD });
}
