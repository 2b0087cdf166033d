/**
 * One watch on a bucket, shared by all its watchers in this session, that is never trusted alone. It asks for a proof
 * of life whenever it has been silent for a while: `probe` gives a sequence that must come by. If it does not, or the
 * connection breaks or a message is missing, the watch is given up (`interrupted`), its consumer removed, and the bucket
 * listed anew; the watchers get the differences, then `synced`. While writes are down no consumer is made.
 */
import { backoffMs, type Clock, type Env, messageOf } from '@canopy/core';
import type { JetStreamApi } from '../jetstream/api.ts';
import { type Delivered, openConsumer, type PushConsumer } from '../jetstream/consumer.ts';
import { LatestQueue } from './latest-queue.ts';
import { type Change, type Item, Mirror } from './mirror.ts';

export type FeedEvent<T extends Item> =
  | { readonly type: 'change'; readonly change: Change<T> }
  | { readonly type: 'synced' }
  | { readonly type: 'interrupted'; readonly reason: string };

export interface FeedSource<T extends Item> {
  readonly stream: string;
  readonly filter: string;
  /** Undefined for messages that watchers don't see (ticks). */
  decode(message: Delivered): Change<T> | undefined;
  /** A sequence that the watch must have seen, or see soon; fails when the stream can't be reached. */
  probe(timeoutMs: number): Promise<number>;
  /** A probe is due after this much silence; a part is added at random so that one watcher of many is first. */
  readonly silenceMs: number;
  /**
   * For buckets whose entries can vanish without a message: how often to compare, and which keys exist (undefined:
   * nothing has changed since the last time).
   */
  readonly sweep?: {
    readonly everyMs: number;
    keys(timeoutMs: number): Promise<((key: string) => boolean) | undefined>;
  };
}

/** A probe's sequence must have come by within this. */
const GRACE_MS = 1000;
const PROBE_TIMEOUT_MS = 1000;
/** Silence while probes fail as well: nothing is known any more. */
const BLIND_MS = 3000;
const OPEN_TIMEOUT_MS = 5000;
const REOPEN = { initialMs: 50, maxMs: 2000 } as const;

interface Watcher<T extends Item> {
  readonly accept: (key: string) => boolean;
  readonly change: (change: Change<T>) => void;
  readonly synced: () => void;
  readonly interrupt: (reason: string) => void;
  readonly end: () => void;
  /** Has been given the present state. */
  caughtUp: boolean;
  interrupted: boolean;
}

export class Feed<T extends Item> {
  readonly #api: JetStreamApi;
  readonly #env: Env;
  readonly #clock: Clock;
  readonly #source: FeedSource<T>;
  readonly #watchers = new Set<Watcher<T>>();
  readonly #onIdle: () => void;
  readonly #stop = new AbortController();
  #mirror = new Mirror<T>();
  #synced = false;
  /** Interrupted, and said so. */
  #down = false;
  #lastEventAt = 0;
  #lastSeq = 0;
  /** Called at each message while a probe's sequence is awaited. */
  #onEvent: (() => void) | undefined;
  readonly #removals = new Set<Promise<void>>();
  readonly done: Promise<void>;

  /** Begins at once; ends when its last watcher leaves (then calls `onIdle`) or the session closes. */
  constructor(api: JetStreamApi, source: FeedSource<T>, onIdle: () => void) {
    this.#api = api;
    this.#env = api.env;
    this.#clock = api.env.clock;
    this.#source = source;
    this.#onIdle = onIdle;
    const signal = AbortSignal.any([this.#stop.signal, api.link.closing]);
    this.done = this.#run(signal).finally(() => this.#endAll());
  }

  /** Every event as `toEvent` makes it, until the signal aborts. The first state and `synced` come first. */
  watch<E>(
    accept: (key: string) => boolean,
    toEvent: (event: FeedEvent<T>) => E,
    signal: AbortSignal | undefined,
  ): AsyncIterableIterator<E> {
    const end = (): void => queue.end();
    const queue = new LatestQueue<E>(() => {
      signal?.removeEventListener('abort', end);
      this.#watchers.delete(watcher);
      if (this.#watchers.size === 0) this.#close();
    });
    const watcher: Watcher<T> = {
      accept,
      change: (change) => queue.push(change.key, toEvent({ type: 'change', change }), change.present),
      synced: () => queue.synced(toEvent({ type: 'synced' })),
      interrupt: (reason) => queue.interrupted(toEvent({ type: 'interrupted', reason })),
      end,
      caughtUp: false,
      interrupted: false,
    };
    this.#watchers.add(watcher);
    if (this.#synced) this.#catchUp(watcher);
    if (signal?.aborted) end();
    else signal?.addEventListener('abort', end, { once: true });
    return queue;
  }

  /** Ends every watcher; resolves when the consumer is removed, or could not be within a few seconds. */
  async stop(): Promise<void> {
    this.#close();
    await this.done;
    await Promise.allSettled(this.#removals);
  }

  #close(): void {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    this.#onIdle();
  }

  #endAll(): void {
    for (const watcher of [...this.#watchers]) watcher.end();
  }

  #remove(consumer: PushConsumer): void {
    const removal = consumer.close().finally(() => this.#removals.delete(removal));
    this.#removals.add(removal);
  }

  async #run(signal: AbortSignal): Promise<void> {
    for (let attempt = 0; !signal.aborted; attempt++) {
      let reason: string;
      try {
        await this.#api.link.whenConnected(Number.MAX_SAFE_INTEGER, signal);
        // A write that passes first: while writes are down a new consumer would only be one more to lose.
        if (attempt > 0) await this.#source.probe(PROBE_TIMEOUT_MS);
        reason = await this.#follow(signal, () => {
          attempt = 0;
        });
      } catch (error) {
        reason = messageOf(error);
      }
      if (signal.aborted) return;
      this.#interrupt(reason);
      await this.#clock.sleep(backoffMs(attempt, REOPEN, this.#env.random), { signal }).catch(() => {});
    }
  }

  /** Follows the bucket with one consumer until that is lost; returns why. */
  async #follow(signal: AbortSignal, onSynced: () => void): Promise<string> {
    const lost = Promise.withResolvers<string>();
    const end = new AbortController();
    const until = AbortSignal.any([signal, end.signal]);
    until.addEventListener('abort', () => lost.resolve('stopped'), { once: true });
    const forget = this.#api.link.onBroken((error) => lost.resolve(error.message));
    this.#mirror.beginListing();
    this.#lastSeq = 0;
    this.#lastEventAt = this.#clock.monotonic();
    let listing = true;
    const listed = (): void => {
      if (!listing) return;
      listing = false;
      this.#sync();
      onSynced();
    };
    let consumer: PushConsumer | undefined;
    try {
      consumer = await openConsumer(this.#api, {
        stream: this.#source.stream,
        filter: this.#source.filter,
        timeoutMs: OPEN_TIMEOUT_MS,
        signal,
        onLost: lost.resolve,
        onMessage: (message) => {
          if (until.aborted) return;
          this.#take(message);
          if (message.pending === 0) listed();
        },
      });
      if (consumer.initiallyPending === 0) listed();
      const guarding = this.#guard(until).then(lost.resolve, (error: Error) => lost.resolve(messageOf(error)));
      const sweeping = this.#sweep(until).catch(() => {});
      const reason = await lost.promise;
      end.abort();
      await Promise.all([guarding, sweeping]);
      return reason;
    } finally {
      end.abort();
      forget();
      if (consumer !== undefined) this.#remove(consumer);
    }
  }

  #take(message: Delivered): void {
    this.#lastEventAt = this.#clock.monotonic();
    this.#lastSeq = Math.max(this.#lastSeq, message.streamSeq);
    this.#onEvent?.();
    const change = this.#source.decode(message);
    const news = change === undefined ? undefined : this.#mirror.apply(change);
    if (news !== undefined) this.#tell(news);
  }

  /** Returns the reason when the watch is dead. */
  async #guard(signal: AbortSignal): Promise<string> {
    for (;;) {
      const silenceMs = this.#source.silenceMs * (1 + this.#env.random.next() / 2);
      const left = this.#lastEventAt + silenceMs - this.#clock.monotonic();
      if (left > 0) {
        await this.#clock.sleep(left, { signal });
        continue;
      }
      const seq = await this.#source.probe(PROBE_TIMEOUT_MS).catch(() => undefined);
      if (signal.aborted) return 'stopped';
      if (seq === undefined) {
        const silentMs = this.#clock.monotonic() - this.#lastEventAt;
        if (silentMs > BLIND_MS) return `nothing seen for ${Math.round(silentMs)} ms, and the stream does not answer`;
        await this.#clock.sleep(100, { signal });
      } else if (await this.#reaches(seq, signal)) this.#lastEventAt = this.#clock.monotonic();
      else return `the watch is silent: sequence ${seq} was not delivered within ${GRACE_MS} ms`;
    }
  }

  /** Whether `seq` comes by in time. */
  async #reaches(seq: number, signal: AbortSignal): Promise<boolean> {
    if (this.#lastSeq >= seq) return true;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.#clock.timer(GRACE_MS, resolve);
    this.#onEvent = () => {
      if (this.#lastSeq >= seq) resolve();
    };
    signal.addEventListener('abort', () => resolve(), { once: true });
    await promise;
    timer.cancel();
    this.#onEvent = undefined;
    return this.#lastSeq >= seq || signal.aborted;
  }

  async #sweep(signal: AbortSignal): Promise<void> {
    const { sweep } = this.#source;
    if (sweep === undefined) return;
    for (;;) {
      await this.#clock.sleep(sweep.everyMs, { signal });
      if (!this.#synced || this.#mirror.size === 0) continue;
      const before = this.#mirror.snapshot();
      const exists = await sweep.keys(PROBE_TIMEOUT_MS * 2).catch(() => undefined);
      if (exists === undefined || signal.aborted) continue;
      for (const gone of this.#mirror.retain(before, exists)) this.#tell(gone);
    }
  }

  #tell(change: Change<T>): void {
    for (const watcher of this.#watchers) {
      if (!watcher.accept(change.key)) continue;
      if (watcher.caughtUp) watcher.change(change);
    }
  }

  #sync(): void {
    for (const gone of this.#mirror.endListing()) this.#tell(gone);
    this.#synced = true;
    if (this.#down) this.#env.log.info('nats_watch_resumed', { stream: this.#source.stream });
    this.#down = false;
    for (const watcher of this.#watchers) {
      if (!watcher.caughtUp) this.#catchUp(watcher);
      else watcher.synced();
      watcher.interrupted = false;
    }
  }

  #catchUp(watcher: Watcher<T>): void {
    watcher.caughtUp = true;
    for (const [key, item] of this.#mirror.entries()) {
      if (watcher.accept(key)) watcher.change({ key, item, present: true });
    }
    watcher.synced();
  }

  #interrupt(reason: string): void {
    const level = this.#down ? 'debug' : 'warn';
    this.#synced = false;
    this.#down = true;
    this.#env.log[level]('nats_watch_interrupted', { stream: this.#source.stream, reason });
    for (const watcher of this.#watchers) {
      if (watcher.interrupted) continue;
      watcher.interrupted = true;
      watcher.interrupt(reason);
    }
  }
}
