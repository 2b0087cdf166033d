/**
 * Requests to JetStream with a deadline and bounded retries. A write carries a message id of its own and is repeated
 * with the same id: the server then stores it once, whatever was lost on the way. A call that was certainly not carried
 * out fails with JETSTREAM_UNAVAILABLE or NATS_UNREACHABLE; one that may have been, with DEADLINE_EXCEEDED.
 */
import { backoffMs, type Env, hasCode } from '@canopy/core';
import { headers, type Msg, type MsgHdrs, nuid } from '@nats-io/transport-node';
import { natsErrors } from '../errors.ts';
import { Budget, type Link, LinkBroken } from '../session/link.ts';
import { isPassing, JetStreamRefusal, JS, refusedWith, transportFault } from './failures.ts';
import { decodeStored, type StoredMessage, type StoredMessageJson } from './message.ts';

export interface CallOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface PublishOptions extends CallOptions {
  /** Extra headers. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Conditional: the last sequence on the subject must be this (0 = none). */
  readonly expectedSeq?: number;
  /** Told apart from others by this; drawn when not given. */
  readonly messageId?: string;
  /** The stream that the subject belongs to, to tell a missing bucket from an election. */
  readonly stream: string;
}

export interface PubAck {
  readonly stream: string;
  readonly seq: number;
  /** The id was known; the sequence is that of the first one. */
  readonly duplicate?: boolean;
}

/** One attempt is given up after this, so that a retry meets the new leader. */
const ATTEMPT_MS = 2000;
const RETRY = { initialMs: 25, maxMs: 250 } as const;
const EMPTY = new Uint8Array(0);

export class JetStreamApi {
  readonly link: Link;
  readonly env: Env;

  constructor(link: Link) {
    this.link = link;
    this.env = link.env;
  }

  /** A request to `$JS.API.<name>`. Throws JetStreamRefusal when the server says no for good. */
  async call<T>(operation: string, name: string, body: unknown, options: CallOptions): Promise<T> {
    const data = body === undefined ? EMPTY : Buffer.from(JSON.stringify(body));
    return this.#insist(operation, options, undefined, async (timeoutMs, signal) =>
      parse<T>(await this.link.request(`$JS.API.${name}`, data, { timeoutMs, signal })),
    );
  }

  /** Stores one message, once. Resolves when it is on a quorum. */
  async publish(operation: string, subject: string, data: Uint8Array, options: PublishOptions): Promise<PubAck> {
    const hdrs = publishHeaders(options);
    return this.#insist(operation, options, options.stream, async (timeoutMs, signal) => {
      const ack = parse<PubAck>(await this.link.request(subject, data, { timeoutMs, signal, headers: hdrs }));
      if (typeof ack.seq !== 'number') throw new JetStreamRefusal(0, 'not an acknowledgement');
      return ack;
    });
  }

  /** One attempt, for a caller that keeps several in flight and starts anew when one fails. */
  async publishOnce(
    operation: string,
    subject: string,
    data: Uint8Array,
    options: CallOptions & { readonly headers?: MsgHdrs },
  ): Promise<PubAck> {
    try {
      return parse<PubAck>(await this.link.request(subject, data, options));
    } catch (error) {
      throw this.link.terminal(operation, error) ?? error;
    }
  }

  /** The message that the leader of the stream holds, or undefined. */
  async message(
    operation: string,
    stream: string,
    query: { last_by_subj: string } | { seq: number; next_by_subj?: string },
    options: CallOptions,
  ): Promise<StoredMessage | undefined> {
    const body = Buffer.from(JSON.stringify(query));
    return this.#insist(operation, options, undefined, async (timeoutMs, signal) => {
      const message = await this.link.request(`$JS.API.STREAM.MSG.GET.${stream}`, body, { timeoutMs, signal });
      const answer = read<{ message: StoredMessageJson }>(message);
      // Nothing there is an answer like any other, and the commonest before a lease is taken: no error is made for it.
      return answer.error?.err_code === JS.noMessage ? undefined : decodeStored(required(answer).message);
    });
  }

  async #insist<T>(
    operation: string,
    options: CallOptions,
    stream: string | undefined,
    attempt: (timeoutMs: number, signal: AbortSignal | undefined) => Promise<T>,
  ): Promise<T> {
    const budget = new Budget(this.env, options.timeoutMs, options.signal);
    let unknown = false;
    let missing = 0;
    let last: unknown;
    for (let round = 0; ; round++) {
      try {
        if (!this.link.connected) await this.link.whenConnected(Math.max(0, budget.leftMs), options.signal);
        return await attempt(Math.min(budget.leftMs, ATTEMPT_MS), options.signal);
      } catch (error) {
        last = error;
        if (options.signal?.aborted) throw options.signal.reason;
        const kind = this.#judge(operation, error, unknown);
        if (kind === 'unknown') unknown = true;
        if (kind === 'absent' && stream !== undefined && !(await this.#exists(stream, budget))) missing += 1;
        // Twice, because a cluster that has just started may not know all its streams yet.
        if (missing >= 2) throw new JetStreamRefusal(JS.streamNotFound, 'stream not found', unknown);
      }
      const pause = backoffMs(round, RETRY, this.env.random);
      if (budget.leftMs <= pause) throw this.#gaveUp(operation, budget, unknown, last);
      await this.env.clock.sleep(pause, { signal: options.signal });
    }
  }

  /** Throws what must not be repeated; else says whether the attempt may have been carried out. */
  #judge(operation: string, error: unknown, unknown: boolean): 'unknown' | 'absent' | 'passing' {
    if (error instanceof JetStreamRefusal) {
      if (isPassing(error)) return 'passing';
      if (error.errCode === JS.disabledForAccount || error.errCode === JS.disabled)
        throw natsErrors.create('JETSTREAM_DISABLED', { servers: this.link.servers }, error);
      throw unknown ? error.afterLoss() : error;
    }
    if (error instanceof LinkBroken && !this.link.closing.aborted) return 'unknown';
    const terminal = this.link.terminal(operation, error);
    if (terminal !== undefined) throw terminal;
    if (hasCode(error, 'NATS_UNREACHABLE')) return 'passing';
    switch (transportFault(error)) {
      case 'timeout':
        return 'unknown';
      case 'no-responders':
        return 'absent';
      default:
        throw error;
    }
  }

  async #exists(stream: string, budget: Budget): Promise<boolean> {
    try {
      const timeoutMs = Math.max(1, Math.min(1000, budget.leftMs));
      parse(await this.link.request(`$JS.API.STREAM.INFO.${stream}`, EMPTY, { timeoutMs, signal: budget.signal }));
      return true;
    } catch (error) {
      return !refusedWith(error, JS.streamNotFound);
    }
  }

  #gaveUp(operation: string, budget: Budget, unknown: boolean, cause: unknown): Error {
    if (unknown) return budget.expired(operation);
    if (!this.link.connected) return natsErrors.create('NATS_UNREACHABLE', { servers: this.link.servers }, cause);
    return natsErrors.create('JETSTREAM_UNAVAILABLE', { operation }, cause);
  }
}

interface Refusable {
  readonly error?: { readonly err_code?: number; readonly code: number; readonly description?: string };
}

function read<T>(message: Msg): T & Refusable {
  return JSON.parse(Buffer.from(message.data).toString('utf8')) as T & Refusable;
}

function required<T>(body: T & Refusable): T {
  if (body.error === undefined) return body;
  throw new JetStreamRefusal(body.error.err_code ?? body.error.code, body.error.description ?? 'refused');
}

/** The answer's body, or the refusal in it. */
function parse<T>(message: Msg): T {
  return required(read<T>(message));
}

function publishHeaders(options: PublishOptions): MsgHdrs {
  const hdrs = headers();
  hdrs.set('Nats-Msg-Id', options.messageId ?? nuid.next());
  if (options.expectedSeq !== undefined) hdrs.set('Nats-Expected-Last-Subject-Sequence', String(options.expectedSeq));
  for (const [name, value] of Object.entries(options.headers ?? {})) hdrs.set(name, value);
  return hdrs;
}
