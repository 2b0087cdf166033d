/**
 * A durable pull consumer. Its position lives with the stream, so nothing here needs mending: a fetch that breaks off gives what it has,
 * what got lost on the way is delivered again after the ack wait, and an acknowledgement is repeated until the server
 * has answered it.
 */
import { abortable, type Timer } from '@canopy/core';
import { natsErrors } from '../errors.ts';
import type { CallOptions, JetStreamApi } from '../jetstream/api.ts';
import { JS, refusedWith, transportFault } from '../jetstream/failures.ts';
import { Budget, LinkBroken } from '../session/link.ts';
import { APPEND_MS } from './appender.ts';
import type {
  StreamCallOptions,
  StreamConsumer,
  StreamConsumerInfo,
  StreamConsumerOptions,
  StreamDelivery,
  StreamFetchOptions,
} from './port.ts';
import { PullChannel, type PulledMessage, type PullRequest } from './pull.ts';

const MS = 1_000_000;
const FETCH_MS = 5000;
const FETCH_MAX = 10_000;
const FETCH_BYTES = 4 * 1024 * 1024;
const HEADERS_BYTES = 4096;
const QUIET_MS = 250;
/** Past the server's own end of a request. */
const GRACE_MS = 1000;
const PAUSE_MS = 50;
const ATTEMPT_MS = 2000;

interface ConsumerInfo {
  readonly config: Readonly<Record<string, unknown>>;
  readonly num_pending: number;
  readonly num_ack_pending: number;
  readonly num_redelivered: number;
  readonly ack_floor: { readonly stream_seq: number };
}

export async function openDurable(
  api: JetStreamApi,
  stream: string,
  name: string,
  options: StreamConsumerOptions,
  call: CallOptions,
): Promise<void> {
  const limits = {
    ack_wait: (options.ackWaitMs ?? 30_000) * MS,
    max_deliver: options.maxDeliver ?? -1,
    max_ack_pending: options.maxAckPending ?? 1000,
    ...(options.filter === undefined ? {} : { filter_subject: options.filter }),
  };
  const create = (config: object): Promise<unknown> =>
    api.call(
      `open consumer ${name}`,
      `CONSUMER.DURABLE.CREATE.${stream}.${name}`,
      { stream_name: stream, config },
      call,
    );
  const present = await consumerInfo(api, stream, name, call);
  if (present !== undefined) {
    const differs = Object.entries(limits).some(([field, wanted]) => present.config[field] !== wanted);
    if (differs) await create({ ...present.config, ...limits });
    return;
  }
  // Whoever else makes it at this moment makes the same.
  await create({
    durable_name: name,
    name,
    deliver_policy: 'by_start_sequence',
    opt_start_seq: (options.after ?? 0) + 1,
    ack_policy: 'explicit',
    replay_policy: 'instant',
    ...limits,
  });
}

async function consumerInfo(
  api: JetStreamApi,
  stream: string,
  name: string,
  call: CallOptions,
): Promise<ConsumerInfo | undefined> {
  try {
    return await api.call<ConsumerInfo>(`look up consumer ${name}`, `CONSUMER.INFO.${stream}.${name}`, undefined, call);
  } catch (error) {
    if (refusedWith(error, JS.consumerNotFound)) return undefined;
    throw error;
  }
}

export class DurableConsumer implements StreamConsumer {
  readonly name: string;
  readonly #api: JetStreamApi;
  readonly #stream: string;

  constructor(api: JetStreamApi, stream: string, name: string) {
    this.#api = api;
    this.#stream = stream;
    this.name = name;
  }

  async fetch(options: StreamFetchOptions = {}): Promise<readonly StreamDelivery[]> {
    const { waitMs = FETCH_MS, signal } = options;
    const { link, env } = this.#api;
    const budget = new Budget(env, waitMs, signal);
    const max = Math.max(1, Math.min(Math.floor(options.max ?? 100), FETCH_MAX));
    const maxBytes = Math.max(options.maxBytes ?? FETCH_BYTES, link.maxPayload + HEADERS_BYTES);
    for (;;) {
      signal?.throwIfAborted();
      link.requireOpen();
      if (link.connected) {
        const present = await this.#request({ batch: max, maxBytes, expiresMs: 0 }, signal);
        if (present.length > 0) return present;
        const expiresMs = Math.floor(budget.leftMs);
        // Waits for one only, so that no open request is left behind that could swallow another.
        if (expiresMs > PAUSE_MS && link.connected) {
          const first = await this.#request({ batch: 1, maxBytes, expiresMs }, signal);
          if (first.length > 0) return first;
        }
        if (await this.#isGone(signal))
          throw natsErrors.create('STREAM_CONSUMER_MISSING', { stream: this.#stream, consumer: this.name });
      }
      if (budget.leftMs <= PAUSE_MS) return [];
      await env.clock.sleep(PAUSE_MS, { signal });
    }
  }

  async info(options: StreamCallOptions = {}): Promise<StreamConsumerInfo> {
    const call = { timeoutMs: options.timeoutMs ?? APPEND_MS, signal: options.signal };
    const found = await consumerInfo(this.#api, this.#stream, this.name, call);
    if (found === undefined)
      throw natsErrors.create('STREAM_CONSUMER_MISSING', { stream: this.#stream, consumer: this.name });
    return {
      pending: found.num_pending,
      ackPending: found.num_ack_pending,
      ackFloor: found.ack_floor.stream_seq,
      redelivered: found.num_redelivered,
    };
  }

  /** What came until the request was filled, ended, or broke off. */
  async #request(request: PullRequest, signal: AbortSignal | undefined): Promise<readonly StreamDelivery[]> {
    const { env, link } = this.#api;
    const found: StreamDelivery[] = [];
    const ended = Promise.withResolvers<void>();
    let quiet: Timer | undefined;
    const channel = new PullChannel(
      this.#api,
      this.#stream,
      this.name,
      (message) => {
        if (message !== undefined) found.push(new Delivery(this.#api, message));
        quiet?.cancel();
        if (message === undefined || found.length >= request.batch) ended.resolve();
        // The server cuts a request to what is there, and does not say where that ends.
        else quiet = env.clock.timer(message.pending === 0 ? 0 : QUIET_MS, ended.resolve);
      },
      () => ended.resolve(),
    );
    const forget = link.onBroken(() => ended.resolve());
    const timer = env.clock.timer(request.expiresMs + GRACE_MS, ended.resolve);
    try {
      channel.request(request);
      await abortable(ended.promise, signal);
      return found;
    } catch (error) {
      for (const delivery of found) delivery.nak();
      throw error;
    } finally {
      quiet?.cancel();
      timer.cancel();
      forget();
      channel.close();
    }
  }

  async #isGone(signal: AbortSignal | undefined): Promise<boolean> {
    try {
      return (await consumerInfo(this.#api, this.#stream, this.name, { timeoutMs: 1000, signal })) === undefined;
    } catch (error) {
      if (refusedWith(error, JS.streamNotFound))
        throw natsErrors.create('STREAM_MISSING', { stream: this.#stream }, error);
      return false;
    }
  }
}

class Delivery implements StreamDelivery {
  readonly subject: string;
  readonly sequence: number;
  readonly data: Uint8Array;
  readonly storedAt: number;
  readonly attempt: number;
  readonly pending: number;
  readonly #api: JetStreamApi;
  readonly #message: PulledMessage;

  constructor(api: JetStreamApi, message: PulledMessage) {
    this.#api = api;
    this.#message = message;
    this.subject = message.subject;
    this.sequence = message.streamSeq;
    this.data = message.data;
    this.storedAt = message.writtenAt;
    this.attempt = message.delivered;
    this.pending = message.pending;
  }

  header(name: string): string | undefined {
    return this.#message.header(name);
  }

  async ack(options: StreamCallOptions = {}): Promise<void> {
    await this.#confirm('+ACK', options);
  }

  nak(delayMs = 0): void {
    this.#tell(delayMs > 0 ? `-NAK ${JSON.stringify({ delay: Math.round(delayMs * MS) })}` : '-NAK');
  }

  async term(options: StreamCallOptions = {}): Promise<void> {
    await this.#confirm('+TERM', options);
  }

  working(): void {
    this.#tell('+WPI');
  }

  #tell(what: string): void {
    const { link } = this.#api;
    if (link.connected) link.nc.publish(this.#message.reply, what);
  }

  /** May be repeated: the second says the same about the same delivery. */
  async #confirm(what: string, options: StreamCallOptions): Promise<void> {
    const { link, env } = this.#api;
    const operation = `acknowledge ${this.subject} at ${this.sequence}`;
    const budget = new Budget(env, options.timeoutMs ?? APPEND_MS, options.signal);
    for (;;) {
      try {
        await link.whenConnected(Math.max(0, budget.leftMs), options.signal);
        const timeoutMs = Math.max(1, Math.min(budget.leftMs, ATTEMPT_MS));
        await link.request(this.#message.reply, Buffer.from(what), { timeoutMs, signal: options.signal });
        return;
      } catch (error) {
        if (options.signal?.aborted) throw error;
        const terminal = link.terminal(operation, error);
        if (terminal !== undefined) throw terminal;
        const fault = transportFault(error);
        if (!(error instanceof LinkBroken) && fault !== 'timeout' && fault !== 'no-responders') throw error;
      }
      if (budget.leftMs <= PAUSE_MS) throw budget.expired(operation);
      await env.clock.sleep(PAUSE_MS, { signal: options.signal });
    }
  }
}
