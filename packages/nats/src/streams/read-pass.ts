/**
 * One pass of a reader: one consumer, from its making until it is lost. Messages wait here for the reader, as many as were asked for
 * and no more; while the reader is slow nothing is asked for.
 */
import { nuid } from '@nats-io/transport-node';
import { natsErrors } from '../errors.ts';
import type { JetStreamApi } from '../jetstream/api.ts';
import { streamInfo } from '../jetstream/buckets.ts';
import { type Standing, type StreamEnds, streamEnds } from './ends.ts';
import type { StreamMessage, StreamReadEvent } from './port.ts';
import { PullChannel, type PulledMessage } from './pull.ts';

const OPEN_MS = 5000;
const REMOVE_MS = 3000;
const BATCH = 256;
/** Given out at once, beside what waits. */
const GIVEN_MAX = 64;
/** On their way and waiting here, together. */
const HELD_MAX = 512;
const BYTES_MIN = 4 * 1024 * 1024;
const EXPIRES_MS = 30_000;
/** The server removes a consumer of which nothing was asked for so long: of a process that died, or of a very slow reader. */
const INACTIVE_NS = 60_000_000_000;
/** After this much silence the stream's leader is asked whether something is missing. */
const SILENCE_MS = 1500;
/** What is missing must come within this. */
const GRACE_MS = 1000;
/** Silence while the leader does not answer either. */
const BLIND_MS = 3000;
const PROBE_MS = 1000;

/** The pass is over; another may go on. */
export class PassLost extends Error {}

export class ReadPass {
  readonly #api: JetStreamApi;
  readonly #stream: string;
  readonly #filter: string;
  readonly #standing: Standing;
  readonly #signal: AbortSignal;
  readonly #name = `canopy_${nuid.next()}`;
  readonly #end = new AbortController();
  #held: PulledMessage[] = [];
  #at = 0;
  #channel: PullChannel | undefined;
  #nextDelivery = 1;
  #received = 0;
  #lastSignAt = 0;
  #lost: string | undefined;
  #wake: (() => void) | undefined;
  /** Where the stream began when everything up to `received` had come. */
  #begin = { received: 0, first: 0 };
  readonly #removals: Set<Promise<void>>;
  #removing = false;

  /** What removes the consumer from the server is put into `removals` until it is done. */
  constructor(
    api: JetStreamApi,
    stream: string,
    filter: string,
    standing: Standing,
    signal: AbortSignal,
    removals: Set<Promise<void>>,
  ) {
    this.#api = api;
    this.#stream = stream;
    this.#filter = filter;
    this.#standing = standing;
    this.#signal = AbortSignal.any([signal, this.#end.signal]);
    this.#removals = removals;
  }

  /** In small batches of what is there. Ends when the signal aborts; throws PassLost when it can't go on. */
  async *batches(): AsyncGenerator<readonly StreamReadEvent[], void, undefined> {
    const forget = this.#api.link.onBroken((error) => this.#lose(error.message));
    this.#signal.addEventListener('abort', () => this.close(), { once: true });
    try {
      const ends = await this.#open();
      if (ends.first > this.#standing.position + 1) yield [this.#trimmed(ends.first)];
      let caughtUp = false;
      for (;;) {
        const batch: StreamReadEvent[] = [];
        while (batch.length < GIVEN_MAX) {
          if (!caughtUp && this.#standing.position >= ends.lastMatching) {
            caughtUp = true;
            this.#standing.position = Math.max(this.#standing.position, ends.last);
            batch.push({ type: 'caught-up', sequence: ends.last });
          }
          const message = this.#held[this.#at];
          if (message === undefined) break;
          if (message.streamSeq > this.#standing.position + 1) {
            const first = this.#knownBegin(message) ?? (await this.#beginAfter(message));
            if (first > this.#standing.position + 1) batch.push(this.#trimmed(first));
          }
          this.#standing.position = message.streamSeq;
          batch.push({ type: 'message', message: toMessage(message) });
          this.#consumed();
        }
        if (batch.length > 0) yield batch;
        else if (!(await this.#more())) return;
      }
    } finally {
      forget();
    }
  }

  /** Idempotent. */
  close(): void {
    this.#end.abort();
    this.#wake?.();
    this.#channel?.close();
    this.#held = [];
    if (this.#channel === undefined || this.#removing) return;
    this.#removing = true;
    const removal = this.#remove().finally(() => this.#removals.delete(removal));
    this.#removals.add(removal);
  }

  #trimmed(first: number): StreamReadEvent {
    this.#standing.position = first - 1;
    return { type: 'trimmed', first };
  }

  async #open(): Promise<StreamEnds> {
    await this.#api.link.whenConnected(OPEN_MS, this.#signal);
    this.#channel = new PullChannel(
      this.#api,
      this.#stream,
      this.#name,
      (message) => this.#take(message),
      (reason) => this.#lose(reason),
    );
    const options = { timeoutMs: OPEN_MS, signal: this.#signal };
    const start = this.#standing.position + 1;
    const body = { stream_name: this.#stream, config: consumerConfig(this.#name, this.#filter, start) };
    const made = this.#api.call(
      `open reading of ${this.#stream}`,
      `CONSUMER.CREATE.${this.#stream}.${this.#name}`,
      body,
      options,
    );
    // Asked only now: all that it tells happened after the interruption that this pass mends.
    const [ends] = await Promise.all([streamEnds(this.#api, this.#stream, this.#filter, options), made]);
    this.#standing.created ??= ends.created;
    if (this.#standing.created !== ends.created) throw natsErrors.create('STREAM_MISSING', { stream: this.#stream });
    this.#lastSignAt = this.#api.env.clock.monotonic();
    this.#ask();
    void this.#guard();
    return ends;
  }

  #consumed(): void {
    this.#at += 1;
    if (this.#at < this.#held.length && this.#at < BATCH) return;
    this.#held = this.#held.slice(this.#at);
    this.#at = 0;
    this.#ask();
  }

  /** Waits until there is a message; false when there will be none. */
  async #more(): Promise<boolean> {
    for (;;) {
      if (this.#signal.aborted) return false;
      if (this.#at < this.#held.length) return true;
      if (this.#lost !== undefined) throw new PassLost(this.#lost);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #take(message: PulledMessage | undefined): void {
    this.#lastSignAt = this.#api.env.clock.monotonic();
    if (message === undefined) {
      this.#ask();
      return;
    }
    if (message.consumerSeq !== this.#nextDelivery) {
      this.#channel?.close();
      this.#lose(`delivery ${this.#nextDelivery} was lost`);
      return;
    }
    this.#nextDelivery += 1;
    this.#received = message.streamSeq;
    this.#held.push(message);
    this.#wake?.();
  }

  #lose(reason: string): void {
    this.#lost ??= reason;
    this.#wake?.();
  }

  #ask(): void {
    const channel = this.#channel as PullChannel;
    if (this.#lost !== undefined || this.#signal.aborted) return;
    if (channel.outstanding + this.#held.length > HELD_MAX - BATCH) return;
    const maxBytes = Math.max(BYTES_MIN, 2 * this.#api.link.maxPayload);
    channel.request({ batch: BATCH, maxBytes, expiresMs: EXPIRES_MS });
  }

  /** Where the stream began when this message had come; one answer is good for all that had come by then. */
  #knownBegin(message: PulledMessage): number | undefined {
    return this.#begin.received < message.streamSeq ? undefined : Math.min(this.#begin.first, message.streamSeq);
  }

  async #beginAfter(message: PulledMessage): Promise<number> {
    const received = this.#received;
    const info = await streamInfo(this.#api, this.#stream, { timeoutMs: OPEN_MS, signal: this.#signal });
    if (info === undefined) throw natsErrors.create('STREAM_MISSING', { stream: this.#stream });
    this.#begin = { received, first: info.state.first_seq };
    return Math.min(info.state.first_seq, message.streamSeq);
  }

  async #guard(): Promise<void> {
    const { clock } = this.#api.env;
    while (!this.#signal.aborted && this.#lost === undefined) {
      const left = this.#lastSignAt + SILENCE_MS - clock.monotonic();
      const isSlow = this.#held.length > 0;
      if (left > 0 || isSlow) {
        await clock.sleep(isSlow ? SILENCE_MS : left, { signal: this.#signal }).catch(() => {});
        continue;
      }
      const reason = await this.#probe().catch(() => undefined);
      if (reason !== undefined && !this.#signal.aborted) this.#lose(reason);
    }
  }

  /** The reason why this pass is dead, or undefined. */
  async #probe(): Promise<string | undefined> {
    const { clock } = this.#api.env;
    const options = { timeoutMs: PROBE_MS, signal: this.#signal };
    const ends = await streamEnds(this.#api, this.#stream, this.#filter, options).catch(() => undefined);
    if (this.#signal.aborted) return undefined;
    if (ends === undefined) {
      const silentMs = clock.monotonic() - this.#lastSignAt;
      if (silentMs > BLIND_MS) return `nothing seen for ${Math.round(silentMs)} ms, and the stream does not answer`;
      await clock.sleep(100, { signal: this.#signal });
      return undefined;
    }
    if (ends.created !== this.#standing.created) return 'the stream was made anew';
    const until = clock.monotonic() + GRACE_MS;
    while (this.#isMissing(ends) && clock.monotonic() < until && !this.#signal.aborted)
      await clock.sleep(25, { signal: this.#signal });
    if (this.#isMissing(ends)) return `silent: sequence ${ends.lastMatching} was not delivered within ${GRACE_MS} ms`;
    this.#lastSignAt = clock.monotonic();
    this.#settled(ends);
    return undefined;
  }

  #isMissing(ends: StreamEnds): boolean {
    return ends.lastMatching > Math.max(this.#received, this.#standing.position);
  }

  /** Everything up to the stream's end was delivered, or does not match: trimming it takes nothing from this reader. */
  #settled(ends: StreamEnds): void {
    if (this.#held.length > 0 || this.#standing.position < ends.lastMatching) return;
    this.#standing.position = Math.max(this.#standing.position, ends.last);
  }

  async #remove(): Promise<void> {
    const { link, env } = this.#api;
    if (!link.connected) return;
    const options = { timeoutMs: REMOVE_MS, signal: link.closing };
    try {
      const subject = `CONSUMER.DELETE.${this.#stream}.${this.#name}`;
      await this.#api.call(`close reading of ${this.#stream}`, subject, undefined, options);
    } catch (error) {
      // Gone already, or unreachable: then the server removes it for want of requests.
      env.log.debug('nats_consumer_not_removed', { stream: this.#stream, name: this.#name, error: String(error) });
    }
  }
}

function consumerConfig(name: string, filter: string, start: number): object {
  return {
    name,
    deliver_policy: 'by_start_sequence',
    opt_start_seq: start,
    ack_policy: 'none',
    replay_policy: 'instant',
    ...(filter === '>' ? {} : { filter_subject: filter }),
    mem_storage: true,
    num_replicas: 1,
    inactive_threshold: INACTIVE_NS,
  };
}

/** Without what only the delivery is about: it may be kept for long. */
export function toMessage(message: PulledMessage): StreamMessage {
  const { subject, streamSeq: sequence, data, writtenAt: storedAt } = message;
  return { subject, sequence, data, storedAt, header: (name) => message.header(name) };
}
