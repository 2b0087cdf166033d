/** A master on an event log and an atomic store: the core of it, with its reader, its shipper, and what it tells from time to time. */
import { type Env, messageOf, TaskGroup, withDeadline } from '@canopy/core';
import type { HybridClockStatus } from '../clock/hybrid-clock.ts';
import { replicationErrors } from '../errors.ts';
import type { AtomicStore } from '../ports/atomic-store.ts';
import type { EventLog, EventLogInfo, Json } from '../ports/event-log.ts';
import type { SnapshotInfo } from '../ports/snapshot-store.ts';
import type { Entity } from '../ports/state-store.ts';
import { AntiEntropy } from './anti-entropy.ts';
import type { ConflictBook } from './conflict-book.ts';
import { finishEmptying } from './emptying.ts';
import type { EntityRecord } from './entity-record.ts';
import type { ClockRecord, MasterEvent } from './event.ts';
import type { Listeners } from './listeners.ts';
import { LogReader } from './log-reader.ts';
import { MasterCore } from './master-core.ts';
import { loadSnapshot, takeSnapshot } from './master-snapshot.ts';
import type { MemberEvent, MemberStatus } from './members.ts';
import type { MultiMasterSettings } from './options.ts';
import { OutboxShipper, topicOf } from './outbox-shipper.ts';
import type { Policy } from './policy.ts';
import type { ApplyResult, LocalWrite, Replica, ReplicaCounts } from './replica.ts';
import { type HashedEntity, hashEntities } from './state-hash.ts';
import { LOG_TIMEOUT_MS } from './write-options.ts';

const FUTURE_CHECK_MS = 5000;
const APPEND_TRIES = 5;

export class DurableReplica implements Replica {
  readonly #settings: MultiMasterSettings;
  readonly #policy: () => Policy;
  readonly #listeners: Listeners;
  readonly #env: Env;
  readonly #log: EventLog;
  readonly #core: MasterCore;
  readonly #shipper: OutboxShipper;
  readonly #reader: LogReader;
  readonly #compare: AntiEntropy;
  readonly #tasks: TaskGroup;
  #subscribed: Promise<void> | undefined;
  /** Its program subscribes by itself, and hears there of what goes wrong. */
  #asked = false;
  #progress = Promise.withResolvers<void>();
  #reported = '';
  #closed = false;
  /** Snapshots that are being taken. */
  #taking = 0;
  #future: { readonly at: number; cancel(): void } | undefined;

  constructor(settings: MultiMasterSettings, policy: () => Policy, listeners: Listeners, env: Env) {
    this.#settings = settings;
    this.#policy = policy;
    this.#listeners = listeners;
    this.#env = env;
    this.#log = settings.pipeline as EventLog;
    finishEmptying(settings.stateManager as AtomicStore);
    this.#core = new MasterCore(settings, policy, listeners, env);
    this.#shipper = new OutboxShipper(this.#core, this.#log, env, (problem) =>
      listeners.emit('outboxBlocked', { problem, waiting: this.#core.unsent }),
    );
    const append = (event: Json): Promise<void> => this.#append(event);
    this.#compare = new AntiEntropy({ core: this.#core, policy, listeners, append, env });
    this.#tasks = new TaskGroup((error) => this.#core.fail(error));
    this.#core.onFailure = () => this.#onProgress();
    this.#tasks.signal.addEventListener('abort', () => this.#onProgress());
    this.#reader = new LogReader(this.#core, this.#log, env, {
      onProgress: () => this.#onProgress(),
      check: (signal) => this.#checkLog(signal),
      restore: (first, signal) => this.#restore(first, signal),
      onOther: (event) => this.#compare.receive(event),
    });
  }

  get conflicts(): ConflictBook {
    return this.#core.conflicts;
  }

  get failure(): Error | undefined {
    return this.#core.failure;
  }

  /** It can't go on. */
  fail(error: Error): void {
    this.#core.fail(error);
  }

  /** Of the log that this master knows; 0: it knows none yet. */
  get logCreatedAt(): number {
    return this.#core.logCreatedAt;
  }

  /** What the log has been read to, with everything before it stored. */
  get position(): number {
    return this.#core.position;
  }

  /** Of a master that nobody has subscribed, and that never joined, it joins first: without a number nothing can be sent. */
  async write(write: LocalWrite): Promise<{ queued: boolean }> {
    if (!this.#core.isMember && !this.#asked) await this.#subscribe();
    const { number } = this.#core.write(write);
    this.#shipper.wrote(number);
    if (write.ack === 'log') await this.#untilInLog(number, write);
    return { queued: this.#subscribed === undefined || this.#shipper.isBlocked };
  }

  async #untilInLog(number: number, { entityId, timeoutMs = LOG_TIMEOUT_MS }: LocalWrite): Promise<void> {
    const what = `wait until the log has the write of ${entityId}, which is stored here and will be sent`;
    await withDeadline(this.#env.clock, what, timeoutMs, this.#shipper.sent(number));
  }

  async get(entityId: string): Promise<Entity | null> {
    return this.#core.read(entityId) ?? null;
  }

  async apply(event: unknown): Promise<ApplyResult> {
    const result = this.#core.apply(event);
    this.#core.flush();
    this.#watchFuture();
    return result;
  }

  subscribe(): Promise<void> {
    this.#asked = true;
    return this.#subscribe();
  }

  #subscribe(): Promise<void> {
    this.#subscribed ??= this.#start().catch((error) => {
      this.#subscribed = undefined;
      throw error;
    });
    return this.#subscribed;
  }

  async sync(): Promise<void> {
    this.#core.drain();
    this.#core.flush();
    this.#shipper.wake();
  }

  clock(): ClockRecord {
    const { masterId } = this.#settings;
    return { [masterId]: this.#core.order.seen(masterId), ...this.#core.order.record() };
  }

  counts(): ReplicaCounts {
    return { ...this.#core.counts, waiting: this.#core.waiting, unsent: this.#core.unsent };
  }

  unsent(limit: number): MasterEvent[] {
    return this.#core.own.unsent(limit);
  }

  clockStatus(): HybridClockStatus {
    return this.#core.clock.status();
  }

  members(): MemberStatus[] {
    return this.#core.members.list();
  }

  async stateHash(): Promise<string> {
    // The store may have passed to another.
    if (!this.#closed) this.#core.flush();
    const entities: HashedEntity[] = [];
    for (const page of this.#core.state.pages<EntityRecord>('entities'))
      for (const [id, record] of page) entities.push({ id, record, shown: this.#core.read(id) });
    return hashEntities(entities, this.#policy());
  }

  /** Resolves when all that was written here is in the log. */
  async drained(): Promise<void> {
    const { self, failure } = this.#core;
    if (failure !== undefined) throw failure;
    if (this.#core.unsent > 0 && self !== undefined) await this.#shipper.sent(self.counter);
    while (this.#core.unsent > 0) await this.#env.clock.sleep(10, { signal: this.#tasks.signal });
  }

  /** Resolves when what was written here by now came back from the log, and counts. */
  async #inLog(): Promise<void> {
    const { self, failure } = this.#core;
    if (failure !== undefined) throw failure;
    if (self !== undefined) await this.#shipper.sent(self.counter);
  }

  /** Says that a master has left: this one, or one that is gone for good. */
  async announceLeave(masterId: string): Promise<void> {
    const by = this.#settings.masterId;
    // What was written since it was drained must not stay behind.
    while (masterId === by && this.#core.unsent > 0) await this.drained();
    const { self } = this.#core;
    const life = masterId === by && self?.incarnation ? self : this.#core.members.get(masterId);
    if (masterId === by && self !== undefined) {
      // From here on it may not write: it has to join anew.
      this.#core.self = { ...self, joinedAt: 0, incarnation: '' };
      this.#core.state.set('meta', 'self', this.#core.self);
      this.#core.flush();
    }
    const incarnation = life?.incarnation;
    await this.#append({ type: 'leave', masterId, by, ...(incarnation === undefined ? {} : { incarnation }) });
  }

  async snapshot(trim: boolean): Promise<SnapshotInfo> {
    const { snapshots, masterId } = this.#settings;
    if (snapshots === undefined)
      throw replicationErrors.create('MASTER_NOT_DURABLE', { masterId, what: 'a snapshot needs a snapshot store;' });
    this.#taking += 1;
    const info = await takeSnapshot(this.#core, snapshots, this.#log.name, {
      clock: this.#env.clock,
      inLog: () => this.#inLog(),
      signal: this.#tasks.signal,
    }).finally(() => {
      this.#taking -= 1;
    });
    if (trim) await this.#log.trim(info.sequence, { signal: this.#tasks.signal });
    return info;
  }

  /** Asks the others to compare their state with this one's; differences are repaired as the answers come. */
  compare(): Promise<void> {
    return this.#compare.publish(this.#tasks.signal);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#future?.cancel();
    await this.#tasks.stop();
    if (this.#core.failure === undefined) this.#core.flush();
  }

  async #start(): Promise<void> {
    const { signal } = this.#tasks;
    if (this.#core.failure !== undefined) throw this.#core.failure;
    const self = this.#core.self;
    const wasMember = self !== undefined && self.joinedAt > 0;
    if (!wasMember) await this.#announce(signal);
    // What an earlier life held may be due by now, and nothing may come that would show it.
    this.#core.drain();
    this.#watchFuture();
    this.#tasks.run('read', (each) => this.#reader.run(each));
    this.#tasks.run('ship', (each) => this.#ship(each));
    this.#tasks.run('report', (each) => this.#report(each));
    const { antiEntropyIntervalMs } = this.#settings;
    if (antiEntropyIntervalMs > 0) this.#tasks.run('compare', (each) => this.#compare.run(antiEntropyIntervalMs, each));
    if (wasMember) return;
    while (!this.#core.isMember && this.#core.failure === undefined && !signal.aborted) await this.#progress.promise;
    if (this.#core.failure !== undefined) throw this.#core.failure;
    signal.throwIfAborted();
  }

  /** A store that belongs to nobody yet gets an identity, which the log announces. */
  async #announce(signal: AbortSignal): Promise<void> {
    const { masterId, snapshots } = this.#settings;
    const { lastSequence } = await this.#checkLog(signal);
    const known = this.#core.self;
    // Taken once: what is announced late, or again, must not look as if it knew what has happened since.
    const { incarnation, since = 0 } = known?.incarnation
      ? known
      : { incarnation: this.#env.random.uuid(), since: lastSequence };
    const { counter = 0, hlc = null } = known ?? {};
    this.#core.self = { masterId, incarnation, since, counter, hlc, joinedAt: 0 };
    this.#core.state.set('meta', 'self', this.#core.self);
    this.#core.flush();
    if (snapshots !== undefined && this.#core.position === 0) await this.#restore(1, signal);
    if (this.#core.failure !== undefined) throw this.#core.failure;
    await this.#append({ type: 'join', masterId, incarnation, since }, `${masterId}.${incarnation}.join`);
  }

  async #checkLog(signal: AbortSignal): Promise<EventLogInfo> {
    const info = await this.#log.info({ signal });
    const { createdAt } = info;
    if (this.#core.logCreatedAt === 0) this.#core.logCreatedAt = createdAt;
    if (this.#core.logCreatedAt === createdAt) return info;
    const { masterId } = this.#settings;
    const error = replicationErrors.create('MASTER_LOG_REPLACED', { masterId, log: this.#log.name });
    this.#core.fail(error);
    throw error;
  }

  async #restore(first: number, signal: AbortSignal): Promise<boolean> {
    const { snapshots, masterId } = this.#settings;
    if (snapshots === undefined) return false;
    const options = { first, policy: this.#policy(), signal };
    const restored = await loadSnapshot(this.#core, snapshots, this.#log.name, options);
    if (!restored) return false;
    this.#listeners.emit('resync', { reason: 'trimmed', masterId });
    this.#core.drain();
    this.#core.flush();
    return true;
  }

  /** Only a member may send: others would take its events for those of an earlier life. */
  async #ship(signal: AbortSignal): Promise<void> {
    // And the log tells first whether this store is all that there was of it.
    const mayShip = (): boolean => this.#core.isMember && this.#reader.hasCaughtUp;
    while (!mayShip() && !signal.aborted && this.#core.failure === undefined) await this.#progress.promise;
    const ended = new AbortController();
    this.#listeners.on('failed', () => ended.abort(this.#core.failure));
    // Also when it has failed by now: whoever waits is told.
    if (this.#core.failure !== undefined) ended.abort(this.#core.failure);
    await this.#shipper.run(AbortSignal.any([signal, ended.signal]));
  }

  async #report(signal: AbortSignal): Promise<void> {
    const { masterId, reportIntervalMs } = this.#settings;
    for (;;) {
      await this.#env.clock.sleep(reportIntervalMs, { signal }).catch(() => {});
      if (signal.aborted || this.#core.failure !== undefined) return;
      try {
        // What it tells of must be stored here: others forget deletes by it.
        this.#core.flush();
        const { self } = this.#core;
        const vectorClock = this.#core.order.record();
        const text = JSON.stringify(vectorClock);
        if (self !== undefined && self.joinedAt > 0 && text !== this.#reported) {
          const timestamp = this.#env.clock.wall();
          await this.#append({ type: 'report', masterId, incarnation: self.incarnation, vectorClock, timestamp });
          this.#reported = text;
        }
        // A delete that is forgotten meanwhile would be missing in a snapshot whose first line does not say so.
        if (this.#taking === 0) this.#core.collect();
      } catch (error) {
        this.#env.log.debug('report_failed', { problem: messageOf(error) });
      }
    }
  }

  /** Repeats an append whose outcome is unknown; what is announced twice is announced. */
  async #append(
    event: MemberEvent | Json,
    messageId = `${this.#settings.masterId}.${this.#env.random.uuid()}`,
  ): Promise<void> {
    const options = { topic: topicOf(this.#settings.masterId), messageId, signal: this.#tasks.signal };
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#log.append(event as Json, options);
        return;
      } catch (error) {
        if (attempt >= APPEND_TRIES || this.#tasks.signal.aborted) throw error;
        await this.#env.clock.sleep(100 * attempt, { signal: this.#tasks.signal });
      }
    }
  }

  #onProgress(): void {
    const { resolve } = this.#progress;
    this.#progress = Promise.withResolvers<void>();
    resolve();
    this.#listeners.moved();
    this.#watchFuture();
  }

  #watchFuture(): void {
    const { heldForMs } = this.#core;
    const { clock } = this.#env;
    const pauseMs = Math.min(FUTURE_CHECK_MS, (heldForMs ?? 0) + 1);
    const at = clock.monotonic() + pauseMs;
    // One that is sooner stays: else whatever comes from the log would put it off, for ever.
    if (this.#future !== undefined && heldForMs !== undefined && this.#future.at <= at) return;
    this.#future?.cancel();
    this.#future = undefined;
    if (heldForMs === undefined || this.#tasks.signal.aborted) return;
    const run = (): void => {
      this.#future = undefined;
      this.#core.drain();
      try {
        this.#core.flush();
      } catch (error) {
        // It is kept, and goes to the store with what comes next.
        this.#env.log.warn('store_failed', { problem: messageOf(error) });
      }
      this.#onProgress();
    };
    const timer = clock.timer(pauseMs, run, { background: true });
    this.#future = { at, cancel: () => timer.cancel() };
  }
}
