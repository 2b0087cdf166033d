/**
 * One topic of a subscriber: reads, and takes what is pushed. Invariant: one thing at a time, in the order of the offsets. Pushed events are
 * only a shorter way: what doesn't follow on `position` is read from the source, so a lost, late or repeated push changes nothing.
 */
import { abortable } from '@canopy/core';
import { replicationErrors } from '../errors.ts';
import { SUBSCRIBER_PUSH_DROPPED } from '../metrics.ts';
import type { SourceBatch, SourceEvent } from '../ports/pipeline-source.ts';
import type { Run } from './handling.ts';
import type { SubscriberProgress } from './progress.ts';
import { type TopicSetup, TopicState } from './topic-state.ts';
import type { Entry } from './unsettled.ts';

export class TopicReader {
  readonly setup: TopicSetup;
  readonly #state: TopicState;
  readonly #controller = new AbortController();
  readonly #signal: AbortSignal;
  #pushed: SourceEvent[] = [];
  /** Something was pushed that is not in the buffer: the source has it. */
  #behind = false;
  #stalled = false;
  #paused = false;
  #turn: Promise<unknown> | undefined;
  #nextPass: Promise<void> | undefined;

  constructor(setup: TopicSetup) {
    this.setup = setup;
    this.#state = new TopicState(setup);
    this.#signal = AbortSignal.any([setup.signal, this.#controller.signal]);
  }

  get paused(): boolean {
    return this.#paused;
  }

  get isBusy(): boolean {
    return this.#turn !== undefined;
  }

  get signal(): AbortSignal {
    return this.#signal;
  }

  get ended(): boolean {
    return this.#signal.aborted;
  }

  /** Monotonic ms of the next attempt at an event that failed. */
  get dueAt(): number {
    return this.#state.unsettled.dueAt;
  }

  /** Takes a pushed event: at once when nothing else is under way and it is the next one. */
  push(event: SourceEvent): void {
    if (this.ended) return;
    if (this.#pushed.length >= this.setup.config.pushBufferSize && (this.#turn !== undefined || this.#paused)) {
      this.#behind = true;
      this.setup.handling.env.metrics
        .counter(SUBSCRIBER_PUSH_DROPPED)
        .add(1, { namespace: this.setup.config.namespace, topic: this.setup.topic });
      return;
    }
    this.#pushed.push(event);
    this.#state.atEnd = false;
    if (this.#turn === undefined && !this.#paused) this.#inTurn(() => this.#drain()).catch(() => {});
  }

  /**
   * Reads to the end of the source. Two calls at once share one pass after the present one. `paced`: waits between attempts.
   * Rejects with the last failure of reading.
   */
  poll(paced: boolean): Promise<void> {
    if (this.#turn === undefined) return this.#inTurn(() => this.#pass(paced));
    this.#nextPass ??= this.idle().then(() => {
      this.#nextPass = undefined;
      return this.#turn === undefined ? this.#inTurn(() => this.#pass(paced)) : this.poll(paced);
    });
    return this.#nextPass;
  }

  /** Moves to an offset, back or forth; events that failed are let go, they are read again or not wanted. */
  async seek(offset: number): Promise<void> {
    while (this.#turn !== undefined) await this.idle();
    this.#state.seek(offset);
    this.#pushed = [];
    this.#stalled = false;
  }

  progress(): Promise<SubscriberProgress> {
    return this.#state.progress(this.#signal, this.#paused);
  }

  /** Stores what is done with, unless that is left to the caller. Never rejects. */
  storeCheckpoint(): Promise<void> {
    return this.#state.storeCheckpoint();
  }

  pause(): Promise<void> {
    this.#paused = true;
    return this.idle();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    const waiting = this.#pushed.length > 0 || this.#behind;
    if (waiting && this.#turn === undefined) this.#inTurn(() => this.#drain()).catch(() => {});
  }

  /** No further event is begun. */
  end(): void {
    this.#controller.abort(new DOMException('unsubscribed', 'AbortError'));
    this.#state.end();
  }

  /** Resolves when what is under way has ended. Never rejects. */
  async idle(): Promise<void> {
    await this.#turn?.catch(() => {});
  }

  /** Runs `work` at once and lets nothing else run until it has ended; pushes that came meanwhile follow. Undefined: it has ended. */
  #inTurn(work: () => Promise<void> | undefined): Promise<void> {
    const running = Promise.withResolvers<void>();
    running.promise.catch(() => {});
    this.#turn = running.promise;
    const end = (): void => {
      this.#turn = undefined;
      const more = this.#pushed.length > 0 && !this.#halted();
      if (more && this.#nextPass === undefined) this.#inTurn(() => this.#drain()).catch(() => {});
    };
    const working = work();
    if (working === undefined) {
      end();
      running.resolve();
      return running.promise;
    }
    return working.then(
      () => {
        end();
        running.resolve();
      },
      (error: unknown) => {
        end();
        running.reject(error);
        throw error;
      },
    );
  }

  async #pass(paced: boolean): Promise<void> {
    if (this.ended || this.#paused) return;
    await this.#retry();
    while (!this.#halted()) {
      const from = this.#state.position;
      const batch = await this.#read(from, paced);
      if (batch === undefined || this.#halted()) break;
      await this.#takeAll(batch.events, from, nextOf(batch, from));
      await this.#state.checkpoint();
      this.#behind = false;
      this.#state.atEnd = !batch.hasMore && this.#state.position >= nextOf(batch, from);
      if (!batch.hasMore || this.#state.position === from) break;
    }
    this.#pushed = this.#pushed.filter(({ offset }) => offset >= this.#state.position);
  }

  /** Handles what was pushed: at once as far as it follows and callbacks end at once; checkpoints are stored behind their backs. */
  #drain(): Promise<void> | undefined {
    while (this.#pushed.length > 0 && !this.#halted()) {
      const event = this.#pushed[0] as SourceEvent;
      if (event.offset > this.#state.position) return this.#drainRest();
      this.#pushed.shift();
      const taken = this.#takePushed(event);
      if (taken !== undefined) return taken.then(() => this.#state.checkpoint()).then(() => this.#drainRest());
      void this.#state.checkpoint();
    }
    return this.#behind && !this.#halted() ? this.#pass(true) : undefined;
  }

  #takePushed(event: SourceEvent): Promise<void> | undefined {
    const { position } = this.#state;
    if (event.offset < position && !this.setup.handling.isDuplicate(event)) return undefined;
    return this.#take(event, Math.min(event.offset, position), Math.max(position, event.offset + 1));
  }

  /** Handles what was pushed, as far as it follows; reads where it does not. */
  async #drainRest(): Promise<void> {
    while (this.#pushed.length > 0 && !this.#halted()) {
      const event = this.#pushed[0] as SourceEvent;
      if (event.offset > this.#state.position) {
        await this.#fill(event.offset);
        if (this.#behind || this.#halted()) break;
        if (event.offset < this.#state.position) {
          this.#pushed.shift();
          continue;
        }
      }
      this.#pushed.shift();
      const taken = this.#takePushed(event);
      if (taken !== undefined) await taken;
      const stored = this.#state.checkpoint();
      if (stored !== undefined) await stored;
    }
    if (this.#behind && !this.#halted()) await this.#pass(true);
  }

  /** Reads what lies before a pushed event. Offsets may have gaps: when the source has nothing there, nothing is missing. */
  async #fill(before: number): Promise<void> {
    while (this.#state.position < before && !this.#halted()) {
      const from = this.#state.position;
      const batch = await this.#read(from, true).catch(() => undefined);
      if (batch === undefined) {
        // It can't be read now: the source has what was pushed, too, and a later pass will find it.
        this.#pushed = [];
        this.#behind = true;
        return;
      }
      if (this.#halted()) return;
      await this.#takeAll(batch.events, from, nextOf(batch, from));
      await this.#state.checkpoint();
      if (this.#state.position === from || !batch.hasMore) return;
    }
  }

  async #read(from: number, paced: boolean): Promise<SourceBatch | undefined> {
    const { source, topic, batchSize, handling, config } = this.setup;
    for (let attempt = 1; ; attempt++) {
      try {
        return await abortable(source.consume(topic, from, batchSize), this.#signal);
      } catch (error) {
        if (this.ended) return undefined;
        handling.report(error as Error);
        if (attempt >= config.maxRetries) throw error;
        if (paced) await handling.env.clock.sleep(handling.delayMs(attempt), { signal: this.#signal }).catch(() => {});
        if (this.ended) return undefined;
      }
    }
  }

  /** Handles a pushed event. The commonest case, a plain callback, ends without waiting for anything. */
  #take(event: SourceEvent, from: number, next: number): Promise<void> | undefined {
    if (this.setup.config.onBatch === undefined) return this.#takeOne(event, from, next);
    return this.#takeAll([event], from, next);
  }

  #takeOne(event: SourceEvent, from: number, next: number): Promise<void> | undefined {
    const entry = this.#state.judge(event, from);
    if (entry === undefined) {
      this.#state.position = next;
      return undefined;
    }
    const failed = (error: unknown): Promise<void> =>
      this.#state.failed(entry, error as Error).then(() => {
        this.#state.position = next;
      });
    const succeed = (run: Run): void => {
      this.#state.settle([entry], run);
      this.#state.position = next;
      this.#state.handled(1);
    };
    try {
      const run = this.setup.handling.runEvent(event);
      if (run.ended !== undefined) return run.ended.then(() => succeed(run)).catch(failed);
      succeed(run);
      return undefined;
    } catch (error) {
      return failed(error);
    }
  }

  /** Handles events in their order; afterwards `position` is `next`, or the first event that was not begun. */
  async #takeAll(events: readonly SourceEvent[], from: number, next: number): Promise<void> {
    const batched = this.setup.config.onBatch !== undefined;
    const passed: Entry[] = [];
    const keys = new Set<string>();
    let begun = 0;
    for (const event of events) {
      if (this.#halted()) break;
      begun += 1;
      if (!batched) {
        await this.#takeOne(event, from, Math.max(this.#state.position, event.offset + 1));
        continue;
      }
      const key = this.setup.handling.keyOf(event);
      const entry = this.#state.judge(event, from, key !== undefined && keys.has(key));
      if (entry === undefined) continue;
      if (key !== undefined) keys.add(key);
      if (await this.#tryEvent(entry)) passed.push(entry);
    }
    if (passed.length > 0) await this.#tryBatch(passed);
    const first = events[begun];
    if (first === undefined) this.#state.position = next;
    else if (batched) this.#state.position = Math.max(from, first.offset);
    if (begun > 0 && !batched) this.setup.handling.batchesProcessed += 1;
  }

  /** `onEvent` of an event that `onBatch` gets, too: nothing is settled yet. */
  async #tryEvent(entry: Entry): Promise<boolean> {
    if (entry.eventDone || this.setup.config.onEvent === undefined) return true;
    try {
      await this.setup.handling.runEvent(entry.event).ended;
      entry.eventDone = true;
      return true;
    } catch (error) {
      await this.#state.failed(entry, error as Error);
      return false;
    }
  }

  async #tryBatch(entries: readonly Entry[]): Promise<void> {
    const { handling } = this.setup;
    try {
      const run = handling.runBatch(entries.map(({ event }) => event));
      await run.ended;
      this.#state.settle(entries, run);
      this.#state.handled(entries.length);
      handling.batchesProcessed += 1;
    } catch (error) {
      handling.report(error as Error);
      for (const entry of entries) await this.#state.failed(entry, error as Error, true);
    }
  }

  /** Events that failed and are due, in their order. */
  async #retry(): Promise<void> {
    const { handling, config, topic } = this.setup;
    const now = handling.env.clock.monotonic();
    const passed: Entry[] = [];
    for (const entry of this.#state.unsettled.due(now)) {
      if (this.ended || this.#paused) break;
      if (handling.isDuplicate(entry.event)) {
        handling.count('duplicate', topic);
        this.#state.settle([entry]);
        continue;
      }
      if (config.onBatch !== undefined) {
        if (await this.#tryEvent(entry)) passed.push(entry);
        continue;
      }
      try {
        const run = handling.runEvent(entry.event);
        await run.ended;
        this.#state.settle([entry], run);
        this.#state.handled(1);
      } catch (error) {
        await this.#state.failed(entry, error as Error);
      }
    }
    if (passed.length > 0) await this.#tryBatch(passed);
    await this.#state.checkpoint();
  }

  /** No further event may be begun now. */
  #halted(): boolean {
    if (this.ended || this.#paused) return true;
    const { first, isStalled: stalled } = this.#state.unsettled;
    const { topic, config, handling } = this.setup;
    if (stalled && !this.#stalled && config.maxAhead > 0)
      handling.report(
        replicationErrors.create('SUBSCRIBER_STALLED', { topic, offset: first?.offset, maxAhead: config.maxAhead }),
        first,
      );
    this.#stalled = stalled;
    return stalled;
  }
}

/** Where the source says to go on; never back, and past the events that it gave. */
function nextOf(batch: SourceBatch, from: number): number {
  const last = batch.events.at(-1);
  if (batch.nextOffset > from || last === undefined) return Math.max(from, batch.nextOffset);
  return Math.max(from, last.offset + 1);
}
