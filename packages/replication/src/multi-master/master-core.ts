/**
 * A durable master without its surroundings: what it does with a write and with each event of the log, as changes of its store. No waiting, no
 * network; time is asked for. Invariants: a number of this master is used once, in the commit that stores its write; position,
 * clocks, entities, waiting events and conflicts move in one commit; so whatever was lost at a crash comes again from the log.
 */
import { coreErrors, type Env, messageOf } from '@canopy/core';
import { HybridClock } from '../clock/hybrid-clock.ts';
import { formatHybridTimestamp } from '../clock/hybrid-timestamp.ts';
import { replicationErrors } from '../errors.ts';
import type { AtomicStore, StoreChange } from '../ports/atomic-store.ts';
import type { LogEvent } from '../ports/event-log.ts';
import type { Entity } from '../ports/state-store.ts';
import { CausalOrder } from './causal-order.ts';
import { ConflictBook } from './conflict-book.ts';
import { changesOf, DurableState, put, type ReaderState, type SelfState } from './durable-state.ts';
import { type EntityRecord, isTombstone, latestVersion, versionOf } from './entity-record.ts';
import {
  type Change,
  type ClockRecord,
  type MasterEvent,
  numberOnly,
  readLoggedEvent,
  readMasterEvent,
  writeMasterEvent,
} from './event.ts';
import { unpacked } from './event-pack.ts';
import type { Listeners } from './listeners.ts';
import { isMemberEvent, type MemberEvent, Members } from './members.ts';
import { OpenConflicts } from './open-conflicts.ts';
import type { MultiMasterSettings } from './options.ts';
import { Outbox } from './outbox.ts';
import { ownChange } from './own-change.ts';
import { OwnEvents } from './own-events.ts';
import { judgeLife } from './own-life.ts';
import { entityOf, isOpen, type Policy, show } from './policy.ts';
import type { ApplyResult, LocalWrite } from './replica.ts';
import { settle } from './settlement.ts';
import { excessOf, hlcText, latestHlc, takeOver } from './stamps.ts';
import { StoredWaiting } from './stored-waiting.ts';
import { forgetDeletes } from './tombstones.ts';

const EVENT_BYTES_MAX = 900 * 1024;
const TAKEN = 'another store has taken its name';

export class MasterCore {
  readonly state: DurableState;
  readonly conflicts: ConflictBook;
  readonly outbox: Outbox;
  readonly clock: HybridClock;
  readonly counts = { eventsApplied: 0, duplicates: 0, rejected: 0, evicted: 0, invalid: 0 };
  order: CausalOrder;
  members: Members;
  self: SelfState | undefined;
  position = 0;
  logCreatedAt = 0;
  collected: ClockRecord;
  unsent: number;
  /** Why this master can't go on. */
  failure: Error | undefined;
  onFailure: (() => void) | undefined;
  /** The log has numbers of this master, under this life, that this store has given to others, or has not given. */
  isOldCopy = false;
  /** An event of this life came back from the log, and counts; `andBefore`: so do all before it. */
  onReadBack: ((number: number, andBefore?: boolean) => void) | undefined;
  /** When held events may take effect, ms from the time it was set; undefined: none is held. */
  heldForMs: number | undefined;
  readonly #waiting: StoredWaiting;
  readonly own = new OwnEvents(this);
  readonly #open: OpenConflicts;
  readonly #told = new Set<string>();
  readonly #settings: MultiMasterSettings;
  readonly #policy: () => Policy;
  readonly #listeners: Listeners;
  readonly #env: Env;

  /** Reads what the store has. Throws the errors of the store, and OPTIONS_INVALID for that of another master. */
  constructor(settings: MultiMasterSettings, policy: () => Policy, listeners: Listeners, env: Env) {
    const { masterId } = settings;
    this.#settings = settings;
    this.#policy = policy;
    this.#listeners = listeners;
    this.#env = env;
    this.state = new DurableState(settings.stateManager as AtomicStore);
    this.conflicts = new ConflictBook(settings.conflictHistory);
    const self = this.state.get<SelfState>('meta', 'self');
    if (self !== undefined && self.masterId !== masterId)
      throw coreErrors.create('OPTIONS_INVALID', {
        subject: 'MultiMasterManager',
        summary: `the store belongs to master ${self.masterId}, not ${masterId}`,
      });
    const reader = this.state.get<ReaderState>('meta', 'reader');
    this.self = self;
    this.order = new CausalOrder(reader?.order);
    this.order.raise(masterId, self?.counter ?? 0);
    this.members = new Members(reader?.members);
    this.position = reader?.position ?? 0;
    this.logCreatedAt = reader?.logCreatedAt ?? 0;
    this.collected = reader?.collected ?? {};
    const floor = latestHlc(self?.hlc, reader?.hlc);
    this.clock = new HybridClock({ nodeId: masterId, maxDrift: settings.maxDriftMs, floor }, env);
    this.unsent = this.state.count('outbox');
    this.outbox = new Outbox(this.state);
    this.#waiting = new StoredWaiting(this.state);
    const wall = (): number => env.clock.wall();
    this.#open = new OpenConflicts({ state: this.state, book: this.conflicts, policy, listeners, wall });
    // What was replaced or removed stays so: what it wrote would count nowhere.
    this.checkMembership();
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** It knows which numbers it has used, and has all that it wrote in earlier lives. */
  get isMember(): boolean {
    const { masterId } = this.#settings;
    return (this.self?.joinedAt ?? 0) > 0 && !this.#waiting.has(masterId);
  }

  read(entityId: string): Entity | undefined {
    const record = this.state.get<EntityRecord>('entities', entityId);
    return record === undefined ? undefined : this.#show(entityId, record);
  }

  /** One commit: entity, event in the outbox, number. Throws MASTER_OUTBOX_FULL, MASTER_NOT_JOINED, EVENT_INVALID, the store's errors. */
  write(write: LocalWrite): Change {
    const { masterId, outboxLimit: limit } = this.#settings;
    const { self } = this;
    if (this.failure !== undefined) throw this.failure;
    if (self === undefined || !this.isMember) throw replicationErrors.create('MASTER_NOT_JOINED', { masterId });
    if (this.unsent >= limit) throw replicationErrors.create('MASTER_OUTBOX_FULL', { masterId, limit });
    const { entityId } = write;
    const before = this.state.get<EntityRecord>('entities', entityId);
    const present = before === undefined ? undefined : this.#show(entityId, before);
    const change = ownChange(write, self, { before, present, order: this.order, clock: this.clock });
    const event = writeMasterEvent(change);
    const bytes = Buffer.byteLength(JSON.stringify(event));
    if (bytes > EVENT_BYTES_MAX)
      throw replicationErrors.create('EVENT_INVALID', { problem: `it has ${bytes} bytes; ${EVENT_BYTES_MAX} fit` });
    const settlement = settle(entityId, before, versionOf(change, change.version ?? 1), this.#policy());
    const { number, wallMs, counter } = change;
    const next = { ...self, counter: number, hlc: hlcText(wallMs, counter, masterId) };
    const changes = [
      ...changesOf(entityId, before, settlement),
      ...(this.conflicts.isPending(entityId) ? [put('pending', entityId, undefined)] : []),
      this.outbox.added(number, event),
      put('meta', 'self', next),
    ];
    // What came from the log and is not stored yet must go with its position, or a crash would part them.
    if (this.state.pending > 0) this.flush(changes);
    else this.state.flush(changes);
    this.self = next;
    this.unsent += 1;
    this.order.deliver(masterId, number);
    this.#open.settled(entityId, masterId, write.resolution === true);
    return change;
  }

  /** An event of the log, in the log's order. What it changes is collected; `flush` commits it, position included. */
  receive({ sequence, event, storedAt }: LogEvent): void {
    if (sequence <= this.position) return;
    try {
      if (isMemberEvent(event)) this.#member(event, { sequence, storedAt });
      else for (const each of unpacked(event)) if (!this.isOldCopy) this.#take(each, readLoggedEvent);
    } catch (error) {
      this.#invalid(error);
    }
    // Who uses such a store again shall find it out again.
    if (!this.isOldCopy) this.position = sequence;
  }

  /** An event of a master, by whatever way it came. */
  apply(event: unknown): ApplyResult {
    return this.#take(event, readMasterEvent);
  }

  #take(event: unknown, read: (event: unknown) => Change): ApplyResult {
    let change: Change;
    try {
      change = read(event);
    } catch (error) {
      return this.#invalid(error);
    }
    const { author, number, clock, incarnation, problem } = change;
    if (!this.members.accepts(author, incarnation)) {
      this.counts.duplicates += 1;
      return { success: true };
    }
    if (author === this.#settings.masterId && !this.own.came(change, event))
      return { success: false, error: 'the store is an older copy of itself' };
    const readiness = this.order.judge(author, clock);
    // What waits under this number came first: another one, of an older copy of a store, counts nowhere.
    const isHeld = this.#waiting.holds(author, number);
    if (isHeld) this.drain();
    if (isHeld || readiness === 'duplicate') {
      this.counts.duplicates += 1;
      return { success: true };
    }
    if (problem !== undefined) this.#invalid(new Error(problem));
    const excess = excessOf(this.clock, change);
    if (readiness === 'early' || excess > 0) {
      this.#hold(
        change,
        problem === undefined ? (event as MasterEvent) : numberOnly(change),
        readiness === 'early' ? 0 : excess,
      );
      return { success: readiness === 'early' };
    }
    const isConflict = this.#deliver(change);
    this.drain();
    return isConflict ? { success: true, isConflict } : { success: true };
  }

  /** What waited for something that has happened, time included. */
  drain(): void {
    this.heldForMs = undefined;
    for (let progress = true; progress; ) {
      progress = false;
      for (const author of this.#waiting.authors) {
        const event = this.#waiting.get(author, this.order.seen(author) + 1);
        if (event === undefined) continue;
        const change = readLoggedEvent(event);
        if (this.order.judge(author, change.clock) !== 'ready') continue;
        const excess = excessOf(this.clock, change);
        if (excess > 0) {
          this.heldForMs = Math.min(this.heldForMs ?? excess, excess);
          continue;
        }
        this.#deliver(change);
        this.#waiting.delete(author, change.number);
        progress = true;
      }
    }
  }

  /** Everything collected, with where the reader stands. */
  flush(extra: readonly StoreChange[] = []): void {
    const { last } = this.clock;
    const reader: ReaderState = {
      position: this.position,
      logCreatedAt: this.logCreatedAt,
      order: this.order.toJSON(),
      members: this.members.toJSON(),
      collected: this.collected,
      hlc: last === undefined ? null : formatHybridTimestamp(last),
    };
    this.state.flush([put('meta', 'reader', reader), ...extra]);
  }

  /** Forgets deletes that every member has seen. Returns how many. */
  collect(): number {
    const stable = this.members.stable(this.#settings.masterId, this.order);
    if (stable === undefined) return 0;
    this.flush();
    const gone = forgetDeletes(this.state, stable);
    if (gone > 0) this.collected = stable;
    this.flush();
    return gone;
  }

  /** A record that another master sent, or a snapshot has, joined with what is here. */
  store(entityId: string, record: EntityRecord): void {
    this.state.set('entities', entityId, record);
    this.state.set('tombstones', entityId, isTombstone(record) ? 1 : undefined);
    takeOver(this.clock, { ...latestVersion(record.versions) } as unknown as Change);
    this.#open.joined(entityId, record);
  }

  /** As if it had never been. */
  forget(entityId: string): void {
    this.state.set('entities', entityId, undefined);
    this.state.set('tombstones', entityId, undefined);
    this.#open.forgotten(entityId);
  }

  /** After the members came by other means than events: whether this life still counts. */
  checkMembership(): void {
    const { masterId } = this.#settings;
    if (this.self === undefined || this.self.joinedAt === 0) return;
    const verdict = judgeLife(this.self, this.members.get(masterId));
    if (verdict === 'replaced') this.fail(replicationErrors.create('MASTER_REPLACED', { masterId, problem: TAKEN }));
    if (verdict === 'removed') this.fail(replicationErrors.create('MASTER_REMOVED', { masterId }));
  }

  /** A snapshot's members, order and position are here now. It may have passed this master's own events, and its announcement. */
  passed(seen: ClockRecord): void {
    const { masterId } = this.#settings;
    for (const author of this.#waiting.authors)
      for (const number of this.#waiting.forgetSeen(author, this.order.seen(author)))
        if (author === masterId) this.onReadBack?.(number);
    this.own.passed(seen[masterId] ?? 0);
    const known = this.members.get(masterId);
    if (this.self === undefined || this.self.joinedAt > 0) this.checkMembership();
    else if (known?.incarnation === this.self.incarnation) this.#announced(this.self, known.joinedAt ?? this.position);
    else if (judgeLife(this.self, known) === 'late') this.#announced(this.self, 0);
  }

  /** An event that waits, from a snapshot. */
  restoreWaiting(key: string, event: MasterEvent): void {
    this.#waiting.restore(key, event);
  }

  fail(error: Error): void {
    if (this.failure !== undefined) return;
    this.failure = error;
    this.onFailure?.();
    this.#listeners.emit('failed', { error });
  }

  #deliver(change: Change): boolean {
    const { entityId, author, number, problem } = change;
    if (problem !== undefined) {
      this.order.deliver(author, number);
      this.own.delivered(change);
      return false;
    }
    const before = this.state.get<EntityRecord>('entities', entityId);
    const version = change.version ?? (before?.versions[0]?.version ?? 0) + 1;
    const settlement = settle(entityId, before, versionOf(change, version), this.#policy());
    for (const { space, key, value } of changesOf(entityId, before, settlement))
      this.state.set(space as 'entities', key, value);
    this.order.deliver(author, number);
    this.own.delivered(change);
    takeOver(this.clock, change);
    this.counts.eventsApplied += 1;
    if (this.#told.size > 0) this.#told.delete(`${author} ${number}`);
    this.#listeners.emit('eventApplied', { entityId, masterId: author, number });
    const { conflict, pending, mergeError, record } = settlement;
    if (conflict !== undefined) this.#open.found(conflict, pending);
    else if (!isOpen(record.versions, this.#policy())) this.#open.settled(entityId, author, change.resolution);
    if (mergeError !== undefined) this.#listeners.emit('mergeFailed', { entityId, problem: mergeError.message });
    return conflict !== undefined;
  }

  #show(entityId: string, record: EntityRecord): Entity | undefined {
    try {
      return show(entityId, record, this.#policy());
    } catch {
      return entityOf(entityId, latestVersion(record.versions));
    }
  }

  #hold(change: Change, event: MasterEvent, excessMs: number): void {
    const { author: masterId, number, wallMs } = change;
    const key = `${masterId} ${number}`;
    if (this.#waiting.put(masterId, number, event)) {
      this.#listeners.emit('buffered', { masterId, number, waiting: this.waiting });
    }
    if (excessMs === 0) return;
    this.heldForMs = Math.min(this.heldForMs ?? excessMs, excessMs);
    if (this.#told.has(key)) return;
    this.#told.add(key);
    this.counts.rejected += 1;
    const aheadMs = Math.ceil(wallMs - this.#env.clock.wall());
    this.#listeners.emit('rejected', { masterId, number, aheadMs });
    this.#env.log.warn('event_from_the_future', { master: masterId, number, aheadMs });
  }

  #member(event: MemberEvent, at: Pick<LogEvent, 'sequence' | 'storedAt'>): void {
    const { masterId } = event;
    const before = this.members.get(masterId);
    if (event.type === 'report' && masterId === this.#settings.masterId) this.own.reported(event);
    this.members.apply(event, at);
    const after = this.members.get(masterId);
    if (after?.incarnation !== before?.incarnation || (before?.active && !after?.active))
      this.#waiting.forgetBehindGap(masterId, this.order.seen(masterId));
    if (after?.active && !before?.active) this.#listeners.emit('joined', { masterId });
    if (before?.active && !after?.active) this.#listeners.emit('left', { masterId });
    if (masterId === this.#settings.masterId && this.self !== undefined)
      this.#membership(event, this.self, at.sequence);
  }

  /** What the log told of this master itself. */
  #membership(event: MemberEvent, self: SelfState, sequence: number): void {
    const { masterId } = event;
    if (event.type === 'join' && event.incarnation === self.incarnation && self.joinedAt === 0) {
      const counts = this.members.get(masterId)?.incarnation === self.incarnation;
      this.#announced(self, counts ? sequence : 0);
    } else if (sequence > self.joinedAt) this.checkMembership();
  }

  /** This life was announced; at 0 it came too late. */
  #announced(self: SelfState, joinedAt: number): void {
    const { masterId } = this.#settings;
    const counts = joinedAt > 0;
    // An identity that came too late never wrote; who starts this store again, knowing what there is, gets another.
    this.self = counts ? { ...self, joinedAt, counter: this.order.seen(masterId) } : { ...self, incarnation: '' };
    this.state.set('meta', 'self', this.self);
    if (counts) this.checkMembership();
    else this.fail(replicationErrors.create('MASTER_REPLACED', { masterId, problem: TAKEN }));
  }

  #invalid(error: unknown): ApplyResult {
    this.counts.invalid += 1;
    const problem = messageOf(error);
    this.#listeners.emit('invalid', { problem });
    return { success: false, error: problem };
  }
}
