/**
 * One of several masters that all take writes. On an `EventLog` with an `AtomicStore` it is durable: a write is one local commit with its
 * event in the outbox, and survives any crash. On a pipeline and state manager of yours it does what those allow. Either way
 * events take effect in causal order, and masters that have seen the same events show the same.
 */
import { type Env, systemEnv } from '@canopy/core';
import { VectorClock } from '../clock/vector-clock.ts';
import type { GCounter } from '../crdt/g-counter.ts';
import type { GSet } from '../crdt/g-set.ts';
import type { LWWRegister } from '../crdt/lww-register.ts';
import type { PNCounter } from '../crdt/pn-counter.ts';
import { replicationErrors } from '../errors.ts';
import { Recovery, type RecoveryProgress } from '../leader-follower/recovery-progress.ts';
import type { SnapshotInfo } from '../ports/snapshot-store.ts';
import type { Entity } from '../ports/state-store.ts';
import type { ConflictRecord, HotEntity } from './conflict-book.ts';
import { DurableReplica } from './durable-replica.ts';
import { checkEntityId, type MasterEvent } from './event.ts';
import { Listeners, type MasterEventName, type MasterListener } from './listeners.ts';
import { MasterMetrics } from './master-metrics.ts';
import {
  addElements,
  addToCounter,
  mergedValueOf,
  movePNCounter,
  setCounter,
  setPNCounter,
  setRegister,
} from './merged-values.ts';
import { type MultiMasterConfig, type MultiMasterSettings, resolveMultiMaster } from './options.ts';
import { PlainReplica } from './plain-replica.ts';
import { type ConflictStrategy, CRDT_DOCUMENT, type Policy } from './policy.ts';
import { MasterRebuild, type RebuildOptions } from './rebuild.ts';
import type { ApplyResult, LocalWrite, Replica } from './replica.ts';
import type { ClockReport, MultiMasterMetrics, MultiMasterStatus } from './status.ts';
import { absorb, encodeData } from './tagged-values.ts';

export interface WriteOptions {
  /** `local` (default): it is stored here. `log`: the event log has it too, so that it survives the loss of this disk. */
  readonly ack?: 'local' | 'log';
}

export interface WriteResult {
  readonly success: true;
  readonly entityId: string;
  readonly masterId: string;
  /** True when the event could not be sent yet. It is kept, and sent as soon as that works. */
  readonly queued: boolean;
}

export class MultiMasterManager {
  readonly #settings: MultiMasterSettings;
  readonly #env: Env;
  readonly #listeners: Listeners;
  #replica: Replica;
  #policy: Policy;
  readonly #metrics: MasterMetrics;
  #closed = false;
  #rebuilding: MasterRebuild | undefined;
  readonly #recovery = new Recovery();

  /** Throws OPTIONS_INVALID. Opens nothing. */
  constructor(config: MultiMasterConfig, env: Env = systemEnv()) {
    this.#settings = resolveMultiMaster(config);
    const { conflictStrategy: strategy, mergeFn, durable } = this.#settings;
    this.#env = env;
    this.#policy = { strategy, mergeFn };
    this.#listeners = new Listeners(env.log);
    this.#metrics = new MasterMetrics(env.metrics, this.#settings.masterId, this.#listeners, () => this.#replica);
    this.#replica = durable
      ? new DurableReplica(this.#settings, () => this.#policy, this.#listeners, env)
      : new PlainReplica(this.#settings, () => this.#policy, this.#listeners, env);
  }

  /**
   * Begins to receive. With a log: joins, when this is the first time (resolves when this master has all that was in the log by
   * then; needs the log), else resolves at once and catches up while it works. Once; further calls do nothing. Throws
   * MASTER_CLOSED, and with a log MASTER_REPLACED, MASTER_REMOVED, MASTER_LOG_TRIMMED and the errors of log and store.
   */
  async subscribe(): Promise<void> {
    this.#requireOpen();
    await this.#replica.subscribe();
  }

  /**
   * Writes an entity here; others follow. `$type` stays as it is, or is that of `data`, or `Entity`. Values that merge
   * (`GCounter`, …) may stand anywhere in `data`; with the strategy `crdt` they merge. Throws MASTER_CLOSED, MASTER_OUTBOX_FULL, MASTER_EVENT_INVALID for an id that is empty or longer than 1 KiB,
   * REPLICATED_VALUE_INVALID and the errors of the store; with a log also MASTER_NOT_JOINED, EVENT_INVALID. With a log the first write
   * of a master that has never joined, and that nobody has subscribed, begins with what `subscribe()` does, and throws what that throws.
   */
  async write(entityId: string, data: Record<string, unknown>, options: WriteOptions = {}): Promise<WriteResult> {
    const encoded = this.#encode(data);
    const merges = this.#policy.strategy === 'crdt';
    return this.#change({
      entityId,
      ...options,
      change: (present) => (merges ? (absorb(present?.data, encoded) as Record<string, unknown>) : encoded),
    });
  }

  /** Deletes it; as `write` otherwise. A delete is remembered until all masters have seen it. */
  async delete(entityId: string, options: WriteOptions = {}): Promise<WriteResult> {
    return this.#change({ entityId, ...options, change: () => null }, 0);
  }

  /** Null when there is none. */
  getEntity(entityId: string): Promise<Entity | null> {
    return this.#replica.get(entityId);
  }

  /** As `getEntity`. */
  read(entityId: string): Promise<Entity | null> {
    return this.getEntity(entityId);
  }

  /** For events that come by a way of your own. Never throws for what is no event, or can't be applied: it says so. */
  async applyRemoteEvent(event: unknown): Promise<ApplyResult> {
    const why = this.#closed ? 'closed' : this.#rebuilding === undefined ? undefined : 'being rebuilt';
    if (why !== undefined) return { success: false, error: `master ${this.#settings.masterId} is ${why}` };
    return this.#replica.apply(event);
  }

  /** The last one of each entity, oldest first; at most `conflictHistory` of those that are settled. */
  async getConflicts(): Promise<ConflictRecord[]> {
    return this.#replica.conflicts.all();
  }

  /** Those that wait for a decision. */
  async getPendingConflicts(): Promise<ConflictRecord[]> {
    return this.#replica.conflicts.pending();
  }

  /** Writes the decision: it replaces all versions seen here, on every master, and takes the conflict off their lists. */
  async resolveConflict(entityId: string, data: Record<string, unknown>): Promise<WriteResult> {
    const encoded = this.#encode(data);
    return this.#change({ entityId, change: () => encoded, resolution: true });
  }

  /** Entities with the most conflicts since the start. */
  hotEntities(limit = 10): HotEntity[] {
    return this.#replica.conflicts.hot(limit);
  }

  /** A copy. */
  getVectorClock(): VectorClock {
    return new VectorClock(this.#replica.clock());
  }

  getMasterId(): string {
    return this.#settings.masterId;
  }

  getConflictStrategy(): ConflictStrategy {
    return this.#policy.strategy;
  }

  /** For conflicts from now on. Masters with different strategies do not come to the same state. */
  async setConflictStrategy(strategy: ConflictStrategy): Promise<void> {
    const { masterId, pipeline, stateManager } = this.#settings;
    resolveMultiMaster({ masterId, pipeline, stateManager, conflictStrategy: strategy });
    this.#policy = { ...this.#policy, strategy };
  }

  getEventBufferSize(): number {
    return this.#settings.eventBufferSize;
  }

  getBufferedEventCount(): number {
    return this.#replica.counts().waiting;
  }

  getMetrics(): MultiMasterMetrics {
    const { eventsApplied, waiting } = this.#replica.counts();
    return {
      writesLocal: this.#metrics.writes,
      eventsApplied,
      conflictsDetected: this.#replica.conflicts.detected,
      eventBufferSize: waiting,
      vectorClockNodes: Object.keys(this.#replica.clock()).length,
    };
  }

  getStatus(): MultiMasterStatus {
    const counts = this.#replica.counts();
    const { conflicts } = this.#replica;
    return {
      ...counts,
      masterId: this.#settings.masterId,
      durable: this.#settings.durable,
      pendingConflicts: conflicts.pending().length,
      conflictRate: counts.eventsApplied === 0 ? 0 : conflicts.detected / counts.eventsApplied,
      vectorClock: { ...this.#replica.clock() },
    };
  }

  /** Why this master can't go on; undefined while it can. */
  get failure(): Error | undefined {
    return this.#replica instanceof DurableReplica ? this.#replica.failure : undefined;
  }

  /** `rebuild()` needs an event log. */
  get canRebuild(): boolean {
    return this.#settings.durable;
  }

  /**
   * Throws the state of this master away and has it join anew, from the newest snapshot and the log; what is unsent is sent before. Until it resolves
   * writes throw MASTER_NOT_JOINED, and reads are incomplete. Throws RECOVERY_REFUSED (see `discard`), MASTER_LOG_TRIMMED: nothing has changed then.
   */
  async rebuild(options: RebuildOptions = {}): Promise<void> {
    if (this.#rebuilding === undefined) {
      const replica = this.#durable('rebuild()');
      const make = (): DurableReplica => {
        this.#replica = new DurableReplica(this.#settings, () => this.#policy, this.#listeners, this.#env);
        return this.#replica as DurableReplica;
      };
      this.#rebuilding = new MasterRebuild(this.#settings, this.#recovery, this.#env, replica, make);
      this.#rebuilding.begin(options, (outcome) => {
        this.#rebuilding = undefined;
        this.#metrics.rebuilt(outcome);
      });
    }
    await this.#rebuilding.done;
  }

  /** Of `rebuild()`, in events of the log. */
  getRecoveryProgress(): RecoveryProgress {
    if (this.#replica instanceof DurableReplica) this.#recovery.advance(this.#replica.position, 0);
    return this.#recovery.progress(this.#env.clock.monotonic());
  }

  clockReport(): ClockReport {
    return { self: this.#replica.clockStatus(), members: this.#replica.members() };
  }

  /** Equal on masters with equal state: SHA-256, hex. Reads everything. */
  stateHash(): Promise<string> {
    return this.#replica.stateHash();
  }

  /** Applies what waits, sends what was not sent, and reads the pipeline's log again where it has one. */
  async syncWithRemote(): Promise<void> {
    this.#requireOpen();
    await this.#replica.sync();
  }

  on<N extends MasterEventName>(name: N, listener: MasterListener<N>): this {
    this.#listeners.on(name, listener);
    return this;
  }

  off<N extends MasterEventName>(name: N, listener: MasterListener<N>): this {
    this.#listeners.off(name, listener);
    return this;
  }

  async writeCounter(id: string, count: number | GCounter): Promise<WriteResult> {
    return this.#value('counter', id, setCounter(this.#settings.masterId, count));
  }

  async incrementCounter(id: string, by = 1): Promise<WriteResult> {
    return this.#value('counter', id, addToCounter(this.#settings.masterId, by));
  }

  /** 0 when there is none. */
  async getCounter(id: string): Promise<number> {
    return ((await this.#valueOf('counter', id)) as GCounter | undefined)?.value() ?? 0;
  }

  async writePNCounter(id: string, count: number | PNCounter): Promise<WriteResult> {
    return this.#value('pncounter', id, setPNCounter(this.#settings.masterId, count));
  }

  async incrementPNCounter(id: string, by = 1): Promise<WriteResult> {
    return this.#value('pncounter', id, movePNCounter(this.#settings.masterId, by));
  }

  async decrementPNCounter(id: string, by = 1): Promise<WriteResult> {
    return this.#value('pncounter', id, movePNCounter(this.#settings.masterId, -by));
  }

  /** 0 when there is none. */
  async getPNCounter(id: string): Promise<number> {
    return ((await this.#valueOf('pncounter', id)) as PNCounter | undefined)?.value() ?? 0;
  }

  /** One element, or a list of them. */
  async addToSet(id: string, elements: unknown): Promise<WriteResult> {
    return this.#value('gset', id, addElements(Array.isArray(elements) ? elements : [elements]));
  }

  /** In one order on all masters. */
  async getSet<T = unknown>(id: string): Promise<T[]> {
    return ((await this.#valueOf('gset', id)) as GSet<T> | undefined)?.toJSON() ?? [];
  }

  async writeRegister(id: string, value: unknown): Promise<WriteResult> {
    const { masterId } = this.#settings;
    return this.#value(
      'register',
      id,
      setRegister(masterId, value, () => this.#env.clock.wall()),
    );
  }

  /** Null when there is none. */
  async getRegister<T = unknown>(id: string): Promise<T | null> {
    return ((await this.#valueOf('register', id)) as LWWRegister<T> | undefined)?.get() ?? null;
  }

  /** A document whose fields may be values that merge; those are merged with what is there. */
  async writeCRDTDocument(id: string, document: Record<string, unknown>): Promise<WriteResult> {
    const encoded = encodeData(document);
    const change = (present: Entity | undefined) => absorb(present?.data, encoded) as Record<string, unknown>;
    return this.#change({ entityId: `crdtdoc:${id}`, entityType: CRDT_DOCUMENT, change });
  }

  async getCRDTDocument(id: string): Promise<Record<string, unknown> | null> {
    return (await this.getEntity(`crdtdoc:${id}`))?.data ?? null;
  }

  /**
   * What was written here and has not come back from the log, oldest first; at most `limit` (default 1000). Also of a master that has failed, so
   * that it can be saved before its store is emptied. Throws MASTER_NOT_DURABLE without a log.
   */
  getUnsent(limit = 1000): MasterEvent[] {
    return this.#durable('getUnsent()').unsent(limit);
  }

  /**
   * Takes this master out of its group: sends what is unsent, announces that it leaves, and closes. The others no longer wait for it
   * before they forget deletes. It may join again by `subscribe()` of a new manager. Throws MASTER_NOT_DURABLE without a log.
   */
  async leave(): Promise<void> {
    const replica = this.#durable('leave()');
    await replica.drained();
    await replica.announceLeave(this.#settings.masterId);
    await this.close();
  }

  /**
   * Announces that a master is gone for good: the life of it that is known here, or, where none is, whichever there is. Should it come
   * back, it is told MASTER_REMOVED. Throws MASTER_NOT_DURABLE without a log.
   */
  async removeMaster(masterId: string): Promise<void> {
    await this.#durable('removeMaster()').announceLeave(masterId);
  }

  /** Puts the state into the snapshot store, for masters that join late, once all of it is in the log (bound that with `close()`); `trim`: then removes from the log what it covers. */
  async takeSnapshot(options: { readonly trim?: boolean } = {}): Promise<SnapshotInfo> {
    return this.#durable('takeSnapshot()').snapshot(options.trim === true);
  }

  /** Has all masters compare their state with this one's, and repair what differs. Resolves when the others were asked. */
  async compareState(): Promise<void> {
    await this.#durable('compareState()').compare();
  }

  /** Stops receiving and sending; what is unsent stays in a durable store. Idempotent. Writes throw MASTER_CLOSED afterwards. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#rebuilding?.stop();
    await this.#replica.close();
    this.#listeners.clear();
    this.#metrics.closed();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #value(prefix: string, id: string, change: LocalWrite['change']): Promise<WriteResult> {
    return this.#change({ entityId: `${prefix}:${id}`, change });
  }

  async #valueOf(prefix: string, id: string): Promise<unknown> {
    return mergedValueOf(await this.getEntity(`${prefix}:${id}`));
  }

  async #change(write: LocalWrite, counts = 1): Promise<WriteResult> {
    this.#requireOpen();
    checkEntityId(write.entityId);
    const { queued } = await this.#replica.write(write);
    this.#metrics.written(counts);
    return { success: true, entityId: write.entityId, masterId: this.#settings.masterId, queued };
  }

  /** A store and a pipeline of the caller's own may carry more than JSON does. */
  #encode(data: Record<string, unknown>): Record<string, unknown> {
    if (typeof data !== 'object' || data === null || Array.isArray(data))
      throw replicationErrors.create('REPLICATED_VALUE_INVALID', {
        problem: 'an entity is a record; delete() takes one away',
      });
    try {
      return encodeData(data);
    } catch (error) {
      if (this.#settings.durable) throw error;
      return data;
    }
  }

  #durable(what: string): DurableReplica {
    this.#requireOpen();
    if (this.#replica instanceof DurableReplica) return this.#replica;
    throw replicationErrors.create('MASTER_NOT_DURABLE', { masterId: this.#settings.masterId, what });
  }

  #requireOpen(): void {
    const code = this.#closed ? 'MASTER_CLOSED' : this.#rebuilding === undefined ? undefined : 'MASTER_NOT_JOINED';
    if (code !== undefined) throw replicationErrors.create(code, { masterId: this.#settings.masterId });
  }
}
