/**
 * A master on what a caller brings: a pipeline that may lose, repeat and reorder, and a store without transactions. Causal order and
 * conflict decisions are the same as with a log; clocks, unsent and waiting events live in memory and die with the process.
 * One change at a time: nothing comes between the read and the write of a store.
 */
import { type Env, messageOf, withDeadline } from '@canopy/core';
import { HybridClock, type HybridClockStatus } from '../clock/hybrid-clock.ts';
import type { MultiMasterPipeline } from '../ports/pipeline.ts';
import type { Entity, StateManager } from '../ports/state-store.ts';
import { CausalOrder } from './causal-order.ts';
import { ConflictBook } from './conflict-book.ts';
import { type EntityRecord, isTombstone, type Version, versionOf } from './entity-record.ts';
import { type Change, readMasterEvent, writeMasterEvent } from './event.ts';
import type { Listeners } from './listeners.ts';
import type { MultiMasterSettings } from './options.ts';
import { isOpen, type Policy } from './policy.ts';
import { type ApplyResult, type LocalWrite, type Replica, type ReplicaCounts, typeOf } from './replica.ts';
import { SendQueue } from './send-queue.ts';
import { type Settlement, settle } from './settlement.ts';
import { excessOf, stampAfter, takeOver } from './stamps.ts';
import { type HashedEntity, hashEntities } from './state-hash.ts';
import { WaitingRoom } from './waiting-room.ts';

/** How long at most until events from the future are looked at again: clocks get corrected. */
const FUTURE_CHECK_MS = 5000;

export class PlainReplica implements Replica {
  readonly conflicts: ConflictBook;
  readonly #settings: MultiMasterSettings;
  readonly #pipeline: MultiMasterPipeline;
  readonly #state: StateManager;
  readonly #policy: () => Policy;
  readonly #listeners: Listeners;
  readonly #env: Env;
  readonly #order = new CausalOrder();
  readonly #clock: HybridClock;
  readonly #waiting: WaitingRoom;
  readonly #records = new Map<string, EntityRecord>();
  readonly #queue: SendQueue;
  readonly #held = new Set<string>();
  readonly #counts = { eventsApplied: 0, duplicates: 0, rejected: 0, evicted: 0, invalid: 0 };
  #turn: Promise<unknown> = Promise.resolve();
  #unsubscribe: (() => void) | undefined;
  #future: { cancel(): void } | undefined;

  constructor(settings: MultiMasterSettings, policy: () => Policy, listeners: Listeners, env: Env) {
    const { masterId } = settings;
    this.#settings = settings;
    this.#pipeline = settings.pipeline as MultiMasterPipeline;
    this.#state = settings.stateManager as StateManager;
    this.#policy = policy;
    this.#listeners = listeners;
    this.#env = env;
    this.#clock = new HybridClock({ nodeId: settings.clockName, maxDrift: settings.maxDriftMs }, env);
    this.#waiting = new WaitingRoom(settings.eventBufferSize);
    this.conflicts = new ConflictBook(settings.conflictHistory);
    this.#order.raise(masterId, 0);
    const onBlocked = (problem: string, waiting: number): void => listeners.emit('outboxBlocked', { problem, waiting });
    const { outboxLimit: limit, applyTimeoutMs: timeoutMs } = settings;
    this.#queue = new SendQueue({ pipeline: this.#pipeline, masterId, limit, timeoutMs, onBlocked }, env);
  }

  async write(write: LocalWrite): Promise<{ queued: boolean }> {
    const event = await this.#inTurn(async () => {
      this.#queue.requireRoom();
      const { entityId } = write;
      const present = await this.#read(entityId);
      const data = write.change(present);
      const change = this.#ownChange(write, present, data);
      const before = this.#recordOf(entityId, present);
      const version = versionOf(change, change.version ?? 1);
      await this.#store(entityId, settle(entityId, before, version, this.#policy()));
      this.#order.deliver(change.author, change.number);
      if (this.conflicts.isPending(entityId) || write.resolution) this.#resolved(entityId, change.author);
      const sent = writeMasterEvent(change);
      this.#queue.push(sent);
      return sent;
    });
    await this.#queue.flush();
    return { queued: this.#queue.has(event) };
  }

  async get(entityId: string): Promise<Entity | null> {
    return (await this.#read(entityId)) ?? null;
  }

  async apply(event: unknown): Promise<ApplyResult> {
    let change: Change;
    try {
      change = readMasterEvent(event);
    } catch (error) {
      this.#counts.invalid += 1;
      this.#listeners.emit('invalid', { problem: messageOf(error) });
      return { success: false, error: messageOf(error) };
    }
    // Before the turn: a pipeline may wait for its subscribers while a write of ours waits for the pipeline.
    if (change.author === this.#settings.masterId) {
      this.#recognise(change.number);
      return { success: true };
    }
    return this.#inTurn(() => this.#receive(change));
  }

  async subscribe(): Promise<void> {
    if (this.#unsubscribe !== undefined || typeof this.#pipeline.subscribe !== 'function') return;
    this.#unsubscribe = this.#pipeline.subscribe(this.#settings.masterId, async (event) => {
      await this.apply(event);
    });
  }

  async sync(): Promise<void> {
    await this.#inTurn(() => this.#drain());
    await this.#queue.flush();
    const events = this.#pipeline.getBufferedEvents?.() ?? this.#pipeline.getEvents?.() ?? [];
    for (const event of await events) await this.apply(event);
  }

  clock(): Record<string, number> {
    return this.#order.record();
  }

  counts(): ReplicaCounts {
    return { ...this.#counts, waiting: this.#waiting.size, unsent: this.#queue.length };
  }

  clockStatus(): HybridClockStatus {
    return this.#clock.status();
  }

  members(): [] {
    return [];
  }

  async stateHash(): Promise<string> {
    const entities: HashedEntity[] = [];
    for (const [id, record] of this.#records) entities.push({ id, record, shown: await this.#read(id) });
    return hashEntities(entities, this.#policy());
  }

  async close(): Promise<void> {
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
    this.#future?.cancel();
    this.#queue.close();
  }

  async #receive(change: Change): Promise<ApplyResult> {
    const { author, number, clock } = change;
    this.#recognise(clock[this.#settings.masterId] ?? 0);
    const readiness = this.#order.judge(author, clock);
    if (readiness === 'duplicate') {
      this.#counts.duplicates += 1;
      return { success: true };
    }
    if (excessOf(this.#clock, change) > 0 && readiness !== 'early') return this.#holdFuture(change);
    if (readiness === 'early') {
      if (this.#settings.join === 'wait' || !this.#order.baseline(author, clock)) return this.#hold(change);
      this.#listeners.emit('resync', { reason: 'baseline', masterId: author });
    }
    try {
      const isConflict = await this.#deliver(change);
      this.#waiting.delete(author, number);
      await this.#drain();
      return isConflict ? { success: true, isConflict } : { success: true };
    } catch (error) {
      // Nothing was marked as seen: it may come again, and is kept in case it does not.
      this.#hold(change);
      return { success: false, error: messageOf(error) };
    }
  }

  /** Somebody has seen more of this master than it remembers: those numbers are taken. */
  #recognise(number: number): void {
    const { masterId } = this.#settings;
    if (number <= this.#order.seen(masterId)) return;
    this.#order.raise(masterId, number);
    this.#listeners.emit('resync', { reason: 'number', masterId });
  }

  async #deliver(change: Change): Promise<boolean> {
    const { entityId, author, number } = change;
    const present = await this.#read(entityId);
    const before = this.#recordOf(entityId, present);
    const version = versionOf(change, change.version ?? (present?.$version ?? 0) + 1);
    const current = present === undefined ? {} : { current: present };
    const settlement = settle(entityId, before, version, this.#policy(), current);
    await this.#store(entityId, settlement);
    this.#order.deliver(author, number);
    takeOver(this.#clock, change);
    this.#counts.eventsApplied += 1;
    this.#held.delete(`${author} ${number}`);
    this.#listeners.emit('eventApplied', { entityId, masterId: author, number });
    if (settlement.conflict !== undefined) {
      const record = { ...settlement.conflict, detectedAt: this.#env.clock.wall() };
      this.conflicts.add(record, settlement.pending);
      this.#listeners.emit('conflictDetected', record);
    } else if (this.conflicts.isPending(entityId) && !isOpen(settlement.record.versions, this.#policy()))
      this.#resolved(entityId, author);
    else if (change.resolution) this.conflicts.settle(entityId);
    const { mergeError } = settlement;
    if (mergeError !== undefined) this.#listeners.emit('mergeFailed', { entityId, problem: mergeError.message });
    return settlement.conflict !== undefined;
  }

  #resolved(entityId: string, by: string): void {
    if (this.conflicts.settle(entityId)) this.#listeners.emit('conflictResolved', { entityId, by });
  }

  async #drain(): Promise<void> {
    for (let progress = true; progress; ) {
      progress = false;
      for (const author of this.#waiting.authors) {
        this.#waiting.drop(author, this.#order.seen(author));
        const next = this.#waiting.get(author, this.#order.seen(author) + 1);
        if (next === undefined || this.#order.judge(author, next.clock) !== 'ready') continue;
        if (excessOf(this.#clock, next) > 0) {
          this.#holdFuture(next);
          continue;
        }
        await this.#deliver(next);
        this.#waiting.delete(author, next.number);
        progress = true;
      }
    }
  }

  #hold(change: Change): ApplyResult {
    const { author: masterId, number } = change;
    const evicted = this.#waiting.put(change);
    if (evicted !== undefined) {
      this.#counts.evicted += 1;
      this.#listeners.emit('evicted', { masterId: evicted.author, number: evicted.number });
      this.#listeners.emit('resync', { reason: 'buffer', masterId: evicted.author });
    }
    if (evicted === change) return { success: false, error: 'it waits for earlier events, and the buffer is full' };
    this.#listeners.emit('buffered', { masterId, number, waiting: this.#waiting.size });
    return { success: true };
  }

  #holdFuture(change: Change): ApplyResult {
    const { author: masterId, number, wallMs } = change;
    const excessMs = excessOf(this.#clock, change);
    const aheadMs = Math.ceil(wallMs - this.#env.clock.wall());
    if (!this.#held.has(`${masterId} ${number}`)) {
      this.#held.add(`${masterId} ${number}`);
      this.#counts.rejected += 1;
      this.#listeners.emit('rejected', { masterId, number, aheadMs });
      this.#env.log.warn('event_from_the_future', { master: masterId, number, aheadMs });
    }
    if (this.#waiting.get(masterId, number) === undefined) this.#hold(change);
    this.#future?.cancel();
    this.#future = this.#env.clock.timer(
      Math.min(FUTURE_CHECK_MS, excessMs + 1),
      () => void this.#inTurn(() => this.#drain()).catch(() => {}),
      { background: true },
    );
    return { success: false, error: `its timestamp lies ${aheadMs} ms in the future; it is held until then` };
  }

  #ownChange(write: LocalWrite, present: Entity | undefined, data: Record<string, unknown> | null): Change {
    const { masterId: author } = this.#settings;
    const { entityId, resolution = false } = write;
    const number = this.#order.seen(author) + 1;
    const clock = this.#order.record();
    clock[author] = number;
    const before = this.#recordOf(entityId, present);
    return {
      deleted: data === null,
      author,
      number,
      entityId,
      entityType: present?.$type ?? typeOf(write, data),
      data: data ?? {},
      clock,
      ...stampAfter(this.#clock, before),
      version: (present?.$version ?? before?.versions[0]?.version ?? 0) + 1,
      resolution,
      incarnation: undefined,
    };
  }

  /** What was in the store before this master knew of it was seen by everybody: any event replaces it. */
  #recordOf(entityId: string, present: Entity | undefined): EntityRecord | undefined {
    const record = this.#records.get(entityId);
    if (record !== undefined || present === undefined) return record;
    const { $type: type, $version: version, data, updatedAt: wallMs } = present;
    const found: Version = { author: '', number: 0, clock: {}, wallMs, counter: 0, type, version, data };
    return { seen: {}, versions: [found] };
  }

  async #store(entityId: string, { record, shown, known }: Settlement): Promise<void> {
    if (known) return;
    if (shown !== undefined) await this.#bounded('set', this.#state.set(entityId, shown));
    else if (isTombstone(record) || record.versions.length > 0)
      await this.#bounded('delete', this.#state.delete(entityId));
    this.#records.set(entityId, record);
  }

  async #read(entityId: string): Promise<Entity | undefined> {
    return (await this.#bounded('get', this.#state.get(entityId))) ?? undefined;
  }

  /** A store that does not answer must not stop everything behind it. */
  async #bounded<T>(what: string, answer: T | Promise<T>): Promise<T> {
    if (!(answer instanceof Promise)) return answer;
    return withDeadline(this.#env.clock, `stateManager.${what}`, this.#settings.applyTimeoutMs, answer);
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }
}
