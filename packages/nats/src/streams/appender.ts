/**
 * Appends of one caller, many on their way at once, on one connection. Invariant: what is stored is in the order of the calls. After a
 * fault nothing more is sent until every answer is in or given up; then what may be repeated is, in order and under the same
 * message ids. An append behind which a later one was stored already is never repeated: it fails.
 */
import { abortable, backoffMs, CanopyError, type Timer } from '@canopy/core';
import { headers, type MsgHdrs, nuid } from '@nats-io/transport-node';
import { natsErrors } from '../errors.ts';
import type { JetStreamApi, PubAck } from '../jetstream/api.ts';
import { streamInfo } from '../jetstream/buckets.ts';
import {
  isConflict,
  isFull,
  isOutOfStorage,
  isPassing,
  JS,
  refusedWith,
  transportFault,
} from '../jetstream/failures.ts';
import { Budget, LinkBroken } from '../session/link.ts';
import type { StreamAppended, StreamAppendOptions } from './port.ts';

export const APPEND_MS = 5000;
/** Kept free of the server's limit for headers. */
const HEADER_RESERVE = 1024;
const IN_FLIGHT = 256;
const IN_FLIGHT_BYTES = 8 * 1024 * 1024;
const WAITING_MAX = 20_000;
/** One attempt is given up after this, so that a retry meets the new leader. */
const ATTEMPT_MS = 2000;
const DEADLINES_MS = 100;
const LAST_ID = 'Nats-Expected-Last-Msg-Id';
const RETRY = { initialMs: 25, maxMs: 250 } as const;

type Fault = 'unknown' | 'absent' | 'passing';

interface Job {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers: MsgHdrs;
  readonly messageId: string;
  /** The caller may have sent it before, in another call. */
  readonly repeatable: boolean;
  readonly expected: number | undefined;
  readonly budget: Budget;
  readonly resolve: (result: StreamAppended) => void;
  readonly reject: (reason: unknown) => void;
  /** What it builds on: it expects the end that this one makes, and was begun before anybody knew whether it does. */
  follows: Job | undefined;
  outcome: 'open' | 'stored' | 'failed';
  /** Some attempt may have been carried out. */
  unknown: boolean;
  result: { readonly ack?: PubAck; readonly error?: unknown } | undefined;
}

export class Appender {
  readonly #api: JetStreamApi;
  readonly #stream: string;
  #waiting: Job[] = [];
  #flight: Job[] = [];
  #flightBytes = 0;
  /** Nothing is sent: a fault is being mended. */
  #mending = false;
  /** Called with each answer while all are waited for. */
  #landed: (() => void) | undefined;
  #deadlines: Timer | undefined;
  /** The last one that expects an end. */
  #tail: Job | undefined;

  constructor(api: JetStreamApi, stream: string) {
    this.#api = api;
    this.#stream = stream;
  }

  append(subject: string, data: Uint8Array, options: StreamAppendOptions): Promise<StreamAppended> {
    const { signal, timeoutMs = APPEND_MS } = options;
    signal?.throwIfAborted();
    this.#api.link.requireOpen();
    const limit = this.#api.link.maxPayload - HEADER_RESERVE;
    if (data.length > limit)
      throw natsErrors.create('STREAM_MESSAGE_TOO_LARGE', { stream: this.#stream, size: data.length, limit });
    if (this.#waiting.length >= WAITING_MAX)
      throw natsErrors.create('STREAM_BUSY', { stream: this.#stream, waiting: this.#waiting.length });
    const { promise, resolve, reject } = Promise.withResolvers<StreamAppended>();
    const messageId = options.messageId ?? nuid.next();
    const expected = options.expectedLastSequence;
    const tail = expected === undefined ? undefined : this.#tail;
    const job: Job = {
      subject,
      data,
      headers: headersOf(messageId, options),
      messageId,
      repeatable: options.messageId !== undefined,
      expected,
      budget: new Budget(this.#api.env, timeoutMs, signal),
      resolve,
      reject,
      follows: tail?.outcome === 'open' && tail.expected === (expected as number) - 1 ? tail : undefined,
      outcome: 'open',
      unknown: false,
      result: undefined,
    };
    promise.then(
      () => end(job, 'stored'),
      () => end(job, 'failed'),
    );
    if (expected !== undefined) this.#tail = job;
    this.#waiting.push(job);
    this.#pump();
    if (this.#waiting.length > 0) this.#watchDeadlines();
    return signal === undefined ? promise : abortable(promise, signal);
  }

  /** Who waits behind others ends in time too. */
  #watchDeadlines(): void {
    this.#deadlines ??= this.#api.env.clock.timer(DEADLINES_MS, () => {
      this.#deadlines = undefined;
      this.#expire();
      if (this.#waiting.length > 0) this.#watchDeadlines();
    });
  }

  #pump(): void {
    if (this.#mending) return;
    while (this.#waiting.length > 0 && this.#flight.length < IN_FLIGHT && this.#flightBytes < IN_FLIGHT_BYTES) {
      if (!this.#api.link.connected) {
        void this.#mend();
        return;
      }
      this.#send(this.#waiting.shift() as Job);
    }
  }

  #send(job: Job): void {
    const { budget, subject, data } = job;
    if (budget.signal?.aborted || budget.spent) {
      job.reject(budget.signal?.aborted ? budget.signal.reason : this.#gaveUp(job));
      return;
    }
    if (job.follows?.outcome === 'failed') {
      // Of one whose outcome is not known nobody can say that somebody else was faster.
      job.reject(job.unknown || job.follows.unknown ? this.#gaveUp(job) : this.#conflict(job));
      return;
    }
    // Or the sequence that it expects could be somebody else's.
    if (job.follows?.outcome === 'open') job.headers.set(LAST_ID, job.follows.messageId);
    else job.headers.delete(LAST_ID);
    this.#flight.push(job);
    this.#flightBytes += data.length;
    const timeoutMs = Math.min(budget.leftMs, ATTEMPT_MS);
    // Not the caller's signal: what was sent is waited for, or the order of what follows could not be known.
    const attempt = this.#api.publishOnce(this.#operation, subject, data, { timeoutMs, headers: job.headers });
    attempt.then(
      (ack) => this.#answered(job, { ack }),
      (error) => this.#answered(job, { error }),
    );
  }

  #answered(job: Job, result: { readonly ack?: PubAck; readonly error?: unknown }): void {
    job.result = result;
    while (!this.#mending && this.#flight[0]?.result !== undefined) {
      const first = this.#flight[0];
      if (faultOf(first) !== undefined) {
        void this.#mend();
        return;
      }
      this.#flight.shift();
      this.#flightBytes -= first.data.length;
      this.#settle(first);
    }
    if (this.#mending) this.#landed?.();
    else this.#pump();
  }

  /** Waits for all answers, ends what can't be repeated, and lets the rest go again. */
  async #mend(): Promise<void> {
    this.#mending = true;
    let absent = 0;
    for (let round = 0; ; round++) {
      await this.#allLanded();
      const sawAbsent = this.#sortOut();
      if (sawAbsent) absent = (await this.#isMissing()) ? absent + 1 : 0;
      // Twice, because a cluster that has just started may not know all its streams yet.
      if (absent >= 2) this.#failAll(() => natsErrors.create('STREAM_MISSING', { stream: this.#stream }));
      this.#expire();
      if (this.#waiting.length === 0) break;
      const { link, env } = this.#api;
      if (link.closing.aborted) this.#failAll(() => link.closing.reason as Error);
      await env.clock.sleep(backoffMs(round, RETRY, env.random), { signal: link.closing }).catch(() => {});
      this.#expire();
      const next = this.#waiting[0];
      if (!link.connected || next === undefined) continue;
      // One goes ahead; when it gets through, so will the others.
      this.#send(this.#waiting.shift() as Job);
      await this.#allLanded();
      if (this.#flight[0] === undefined || faultOf(this.#flight[0]) === undefined) break;
    }
    this.#mending = false;
    const [landed] = this.#flight;
    if (landed !== undefined) this.#answered(landed, landed.result as { ack?: PubAck });
    else this.#pump();
  }

  async #allLanded(): Promise<void> {
    while (this.#flight.some(({ result }) => result === undefined)) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#landed = resolve;
      await promise;
    }
    this.#landed = undefined;
  }

  /** Settles what is settled, and puts back what may go again. Returns whether nobody took one of them. */
  #sortOut(): boolean {
    const flight = this.#flight;
    this.#flight = [];
    this.#flightBytes = 0;
    const lastStored = flight.findLastIndex(({ result }) => result?.ack !== undefined);
    const again: Job[] = [];
    let sawAbsent = false;
    let troubled = false;
    for (const [index, job] of flight.entries()) {
      const fault = faultOf(job);
      if (fault === 'unknown') job.unknown = true;
      if (fault === 'absent') sawAbsent = true;
      // Refused only because one before it, that goes again, was not there.
      const follows = troubled && isRefusedEnd(job.result?.error);
      troubled ||= fault !== undefined;
      if (fault === undefined && !follows) this.#settle(job);
      else if (index < lastStored) job.reject(this.#gaveUp(job));
      else again.push(job);
    }
    for (const job of again) job.result = undefined;
    this.#waiting = [...again, ...this.#waiting];
    return sawAbsent;
  }

  async #isMissing(): Promise<boolean> {
    if (!this.#api.link.connected) return false;
    try {
      return (await streamInfo(this.#api, this.#stream, { timeoutMs: 1000 })) === undefined;
    } catch {
      return false;
    }
  }

  #expire(): void {
    const left: Job[] = [];
    for (const job of this.#waiting) {
      const { budget } = job;
      if (budget.signal?.aborted) job.reject(budget.signal.reason);
      else if (budget.spent) job.reject(this.#gaveUp(job));
      else left.push(job);
    }
    this.#waiting = left;
  }

  #failAll(reason: () => Error): void {
    for (const job of this.#waiting.splice(0)) job.reject(job.unknown ? this.#gaveUp(job) : reason());
  }

  #settle(job: Job): void {
    const { ack, error } = job.result ?? {};
    if (ack !== undefined) {
      // What this call itself sent before is no duplicate of anything.
      job.resolve({ sequence: ack.seq, duplicate: ack.duplicate === true && !job.unknown });
      return;
    }
    const stream = this.#stream;
    if (isRefusedEnd(error)) void this.#contested(job, error).then(job.resolve, job.reject);
    else if (refusedWith(error, JS.streamNotFound)) job.reject(natsErrors.create('STREAM_MISSING', { stream }, error));
    else if (isFull(error)) job.reject(natsErrors.create('STREAM_FULL', { stream }, error));
    else if (isOutOfStorage(error))
      job.reject(natsErrors.create('NATS_STORAGE_FULL', { stream, reason: error.description }, error));
    else job.reject(error);
  }

  /**
   * The end was another. The server says so also of a repeated append that was stored, so the message behind the expected end is looked
   * at: nowhere else can ours be.
   */
  async #contested(job: Job, cause: unknown): Promise<StreamAppended> {
    if (job.expected === undefined || (!job.unknown && !job.repeatable)) throw this.#conflict(job, cause);
    if (job.budget.spent) throw job.budget.expired(this.#operation);
    const sequence = job.expected + 1;
    const options = { timeoutMs: job.budget.leftMs, signal: job.budget.signal };
    const stored = await this.#api.message(this.#operation, this.#stream, { seq: sequence }, options);
    if (stored?.header('Nats-Msg-Id') === job.messageId) return { sequence, duplicate: !job.unknown };
    // Trimmed away meanwhile, or not there yet: nobody can tell whose it was or will be.
    if (stored === undefined && job.unknown) throw job.budget.expired(this.#operation);
    throw this.#conflict(job, cause);
  }

  #conflict(job: Job, cause?: unknown): Error {
    return natsErrors.create('STREAM_CONFLICT', { stream: this.#stream, expected: job.expected }, cause);
  }

  get #operation(): string {
    return `append to ${this.#stream}`;
  }

  #gaveUp(job: Job): Error {
    const { link } = this.#api;
    if (job.unknown) return job.budget.expired(this.#operation);
    const cause = job.result?.error;
    if (!link.connected) return natsErrors.create('NATS_UNREACHABLE', { servers: link.servers }, cause);
    return natsErrors.create('JETSTREAM_UNAVAILABLE', { operation: this.#operation }, cause);
  }
}

/** What passes by itself, and whether the attempt may have been carried out; undefined: an answer, whichever. */
function faultOf({ result, follows }: Job): Fault | undefined {
  const error = result?.error;
  if (error === undefined) return undefined;
  if (isPassing(error)) return 'passing';
  // A server that does not count what is on its way: the one before is stored by now.
  if (refusedWith(error, JS.wrongLastMessageId) && follows?.result?.ack !== undefined) return 'passing';
  if (error instanceof LinkBroken) return 'unknown';
  if (CanopyError.is(error)) return undefined;
  const fault = transportFault(error);
  if (fault === 'timeout') return 'unknown';
  return fault === 'no-responders' ? 'absent' : undefined;
}

function isRefusedEnd(error: unknown): boolean {
  return isConflict(error) || refusedWith(error, JS.wrongLastMessageId);
}

/** Called before the caller hears of it. */
function end(job: Job, outcome: 'stored' | 'failed'): void {
  job.outcome = outcome;
  job.follows = undefined;
}

function headersOf(messageId: string, options: StreamAppendOptions): MsgHdrs {
  const hdrs = headers();
  hdrs.set('Nats-Msg-Id', messageId);
  const { expectedLastSequence } = options;
  if (expectedLastSequence !== undefined) hdrs.set('Nats-Expected-Last-Sequence', String(expectedLastSequence));
  for (const [name, value] of Object.entries(options.headers ?? {})) hdrs.set(name, value);
  return hdrs;
}
