/**
 * A database that is being written here: reads the WAL as it grows and puts what was committed into the log, one entry
 * after the other. What is committed while a put is under way goes into the next entry. The application's writers are
 * never blocked but for the instant of our own checkpoints. Invariants: entries follow each other without a gap and only
 * under our epoch; once the log has refused one, nothing is sent any more; the WAL is reused only after it was read.
 */
import { join } from 'node:path';
import {
  abortable,
  assert,
  CanopyError,
  type Epoch,
  hasCode,
  type Position,
  TaskGroup,
  withDeadline,
} from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import { LogKeeper } from '../levels/keeper.ts';
import type { LogEntry } from '../log/names.ts';
import type { WalBatch, WalCursor } from '../wal/reader.ts';
import { BackPressure, WAL_CAUSE } from './back-pressure.ts';
import { LiveDatabase } from './live-database.ts';
import type { PrimaryDeps, PrimaryStart } from './opening.ts';
import { checkedAtEnd, type PendingEntry, prepareNext } from './pending-entry.ts';
import { encodeFrames, encodeImage } from './segment-builder.ts';
import { Sender } from './sender.ts';
import { SnapshotKeeper } from './snapshot-keeper.ts';
import { StoredWaiters } from './stored-waiters.ts';
import { fencedBy, hearOfSuccessor } from './successor.ts';
import { WakeUp } from './wake-up.ts';

/** A writer publishes its commit within this. */
const UNSETTLED_MS = 50;
const DISK_FULL = "the disk is full: the WAL can't be copied into the file, and grows until there is room";

export type { PrimaryDeps, PrimaryStart } from './opening.ts';

export class Primary {
  readonly #deps: PrimaryDeps;
  readonly #live: LiveDatabase;
  readonly #wakeUp: WakeUp;
  readonly #tasks: TaskGroup;
  #position: Position;
  #commit: number;
  readonly #waiters = new StoredWaiters<Position>();
  #pending: PendingEntry | undefined;
  /** Why what was read, and is not in the log, can't be read again: only a full image goes on. */
  #lost: string | undefined;
  /** Where in the WAL the last stored entry ends. */
  #storedEnd: WalCursor | undefined;
  #ended: CanopyError | undefined;
  readonly #sender: Sender;
  readonly #pressure: BackPressure;
  readonly #snapshots: SnapshotKeeper;
  /** The log's upkeep, and what ends it at once when nothing may be sent any more. */
  readonly keeper: LogKeeper;
  readonly #keeping = new AbortController();

  private constructor(deps: PrimaryDeps, start: PrimaryStart) {
    this.#deps = deps;
    this.#position = start.position;
    this.#commit = start.commit;
    this.#storedEnd = start.cursor;
    this.#snapshots = new SnapshotKeeper(deps, start.position.txid);
    if (start.imageSoon) this.#snapshots.hurry();
    this.#tasks = new TaskGroup((error, task) => this.#fail(error, task));
    this.#wakeUp = new WakeUp(deps.env, deps.options.pollIntervalMs, () => this.#pressure.press(WAL_CAUSE.held));
    this.#live = new LiveDatabase(deps, start);
    this.#pressure = new BackPressure({
      ...deps,
      tasks: this.#tasks,
      softBytes: deps.options.maxWalBytes,
      usedBytes: () => this.#live.walBytesUsed,
      isHeld: () => this.#live.isHeld,
      hold: () => this.#live.holdWriters(),
    });
    this.#sender = new Sender({
      ...deps,
      pressure: this.#pressure,
      position: () => this.#position,
      onMoved: () => {
        this.#pending = undefined;
      },
      onRefused: (error) => this.#waiters.fail(error),
    });
    this.keeper = new LogKeeper({ ...deps, scratch: join(`${deps.path}-canopy`, 'compaction') });
  }

  /** Opens a WAL-mode database and, where the claim is still open, takes the log. Nothing stays open on failure. */
  static async open(deps: PrimaryDeps, start: PrimaryStart, signal: AbortSignal): Promise<Primary> {
    const primary = new Primary(deps, start);
    try {
      if (start.claim !== 'done') await primary.#claim(start.claim, signal);
      primary.#run();
      return primary;
    } catch (error) {
      await primary.close();
      throw error;
    }
  }

  get position(): Position {
    return this.#position;
  }

  get sizeBytes(): number {
    return this.#commit * this.#live.readers.pageSize;
  }

  get problem(): string | undefined {
    const full = this.#live.isDiskFull ? DISK_FULL : undefined;
    return this.#ended?.message ?? this.#sender.problem ?? full ?? this.#pressure.problem ?? this.keeper.problem;
  }

  /** Stores a full image of its own as soon as it can: what the log has may not be readable. */
  imageSoon(): void {
    this.#snapshots.hurry();
    this.#wakeUp.now();
  }

  get lastSnapshotAt(): number | undefined {
    return this.#snapshots.lastStoredAt;
  }

  /** Nothing is sent any more. */
  get hasEnded(): boolean {
    return this.#ended !== undefined;
  }

  get isFenced(): boolean {
    return hasCode(this.#ended, 'SQLITE_FENCED');
  }

  /** Everything that is committed now is in the log, for certain. Cheap: of the WAL its end alone is looked at. */
  get isShipped(): boolean {
    try {
      const isRead = this.#pending === undefined && this.#lost === undefined;
      return this.#ended === undefined && isRead && this.#live.isReadToEnd;
    } catch {
      // A WAL that can't be looked at proves nothing; the next pass says what is wrong with it.
      return false;
    }
  }

  /** Everything committed before the call is in the log when this resolves, whatever came after it. Throws SQLITE_FENCED. */
  async sync(signal?: AbortSignal): Promise<Position> {
    if (this.#ended !== undefined) throw this.#ended;
    const passed = this.#waiters.add(this.#live.committedEnd, this.#storedEnd);
    this.#wakeUp.now();
    return abortable(passed, signal);
  }

  /** Another epoch owns the log: nothing is sent from now on. */
  fence(epoch: Epoch, position: Position): void {
    if (this.#ended !== undefined) return;
    this.#end(fencedBy(this.#deps, { epoch, txid: position.txid }));
    this.#deps.onEvent({ type: 'fenced', epoch, position });
  }

  /** Ends all work. True: everything committed is in the log. The database stays open until `leave` or `close`. */
  async finish(timeoutMs: number): Promise<boolean> {
    const synced = this.sync(this.#tasks.signal);
    await withDeadline(this.#deps.env.clock, 'ship the rest', timeoutMs, synced).catch(() => {});
    this.#end(sqliteErrors.create('SQLITE_NOT_PRIMARY', { path: this.#deps.path, role: 'demoting' }));
    await this.#tasks.stop();
    return this.#pending === undefined && this.#lost === undefined && this.#live.next().type === 'nothing';
  }

  /**
   * After `finish`: copies the WAL into the file and switches it to rollback mode, in place. True when nothing was
   * written in between. Throws SQLITE_DATABASE_BUSY when another program keeps the database open past the bound.
   */
  leave(): Promise<boolean> {
    return this.#live.leave();
  }

  /** After `finish`: see LiveDatabase.seal. */
  seal(record: (end: WalCursor) => void): Promise<boolean> {
    return this.#live.seal(record);
  }

  /** Idempotent. What was not shipped stays in the database. */
  async close(): Promise<void> {
    this.#end(sqliteErrors.create('SQLITE_STOPPED', { path: this.#deps.path }));
    await this.#tasks.stop();
    this.#live.close();
  }

  #run(): void {
    this.#wakeUp.watch(this.#deps.path);
    this.#tasks.run('ship', (signal) => this.#ship(signal));
    const after = (): number => this.#position.txid;
    const successor = {
      ...this.#deps,
      after,
      onSuccessor: ({ epoch, maxTxid }: LogEntry) => this.fence(epoch, { epoch, txid: maxTxid }),
    };
    this.#tasks.run('fence', (signal) => hearOfSuccessor(successor, AbortSignal.any([signal, this.#keeping.signal])));
    this.#tasks.run('keeper', (signal) => this.keeper.run(AbortSignal.any([signal, this.#keeping.signal])));
    this.#tasks.run('snapshots', (signal) => this.#snapshots.inherit(signal));
  }

  async #claim(how: 'frames' | 'image', signal: AbortSignal): Promise<void> {
    const step = this.#live.next();
    if (how === 'frames' && step.type === 'frames') this.#prepareFrames(step.batch, 'claim');
    else await this.#prepareImage(signal);
    await this.#put(signal);
  }

  async #ship(signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => this.#wakeUp.now(), { once: true });
    while (!signal.aborted && this.#ended === undefined) {
      const busy = await this.#pass(signal);
      // With an entry prepared there is more in the WAL than a checkpoint could wait for.
      if (this.#ended !== undefined || this.#pending !== undefined) continue;
      // The pages of an image that is being read must stay where they are.
      if (this.#live.isCheckpointDue(this.#pressure.isFull) && !this.#snapshots.isStoring) this.#checkpoint();
      else if (this.#snapshotDue()) await this.#snapshot(signal);
      // Writers wait for what is done here.
      if (this.#pressure.isFull) this.#wakeUp.hurry();
      if (!busy && this.#pending === undefined && this.#waiters.isEmpty) await this.#wakeUp.pause();
    }
  }

  /** Reads what is there and puts it into the log. False when there was nothing. */
  async #pass(signal: AbortSignal): Promise<boolean> {
    this.#waiters.begin(() => this.#live.committedEnd, this.#storedEnd);
    try {
      if (this.#pending !== undefined) await this.#put(signal);
      if (this.#pending !== undefined) {
        // The one prepared meanwhile is next; a backlog must not keep a replaced file from being noticed.
        this.#live.check();
        this.#waiters.again();
        return true;
      }
      const step = this.#lost === undefined ? this.#live.next() : ({ type: 'lost', reason: this.#lost } as const);
      if (step.type === 'lost') this.#live.check();
      // A full image must not move pages that a snapshot is reading: it waits for the snapshot.
      if (step.type === 'unsettled' || (step.type === 'lost' && this.#snapshots.isStoring)) {
        this.#waiters.again();
        await this.#deps.env.clock.sleep(UNSETTLED_MS, { signal });
        return false;
      }
      if (step.type === 'lost') {
        this.#deps.onEvent({ type: 'warning', code: 'WAL_LOST', message: `${step.reason}; sending a full image` });
        await this.#prepareImage(signal);
      } else if (step.type === 'frames') this.#prepareFrames(step.batch, 'commit');
      if (step.type !== 'nothing') {
        this.#wakeUp.found();
        await this.#put(signal);
      }
      this.#live.check();
      if (step.type === 'frames' && step.batch.more) this.#waiters.again();
      else this.#waiters.end(this.#position);
      return step.type !== 'nothing';
    } catch (error) {
      if (hasCode(error, 'SQLITE_IMAGE_MOVED') && this.#pending === undefined) {
        this.#lost = String(error.fields.how);
        this.#waiters.again();
        return true;
      }
      if (!hasCode(error, 'SQLITE_FENCED')) throw error;
      this.#end(error);
      const epoch = Number(error.fields.takenEpoch ?? 0) as Epoch;
      this.#deps.onEvent({ type: 'fenced', epoch, position: this.#position });
      return false;
    }
  }

  #prepareFrames(batch: WalBatch, kind: 'claim' | 'commit'): void {
    assert(batch.commit !== undefined, 'a batch with frames has a size');
    assert(this.#pending === undefined, 'an entry waits to be stored: another one must not take its place');
    const txid = this.#position.txid + 1;
    const found = { ...batch, commit: batch.commit };
    const bytes = encodeFrames(txid, this.#deps.env.clock.wall(), found, this.#commit, this.#live.readers);
    this.#pending = {
      txid,
      kind,
      bytes: checkedAtEnd(bytes, () => this.#live.requireFrames(batch.end)),
      commit: batch.commit,
      more: kind === 'commit' && batch.more,
      end: batch.end,
    };
    this.#live.advance(batch.end);
  }

  /** The whole database as one entry. Writers wait only until its end is pinned. */
  async #prepareImage(signal: AbortSignal): Promise<void> {
    const image = await this.#live.freeze(signal);
    const txid = this.#position.txid + 1;
    const whole = { ...image, end: this.#live.cursor };
    const encoded = encodeImage(txid, this.#deps.env.clock.wall(), whole, this.#live.readers);
    const bytes = checkedAtEnd(encoded, () => this.#live.source(image).check());
    this.#lost = undefined;
    this.#pending = { txid, kind: 'snapshot', bytes, commit: image.commit, more: false, end: whole.end };
  }

  /** Puts the prepared entry; the one that follows it may be prepared afterwards. Throws SQLITE_FENCED. */
  async #put(signal: AbortSignal): Promise<void> {
    const entry = this.#pending;
    if (entry === undefined) return;
    // There is something now that the log does not have.
    this.#deps.onChange();
    const [stored, next] = await Promise.allSettled([
      this.#sender.send(entry, signal),
      entry.more ? prepareNext(entry, this.#live, this.#deps.env.clock, signal) : undefined,
    ]);
    if (stored.status === 'rejected') throw stored.reason;
    this.#pending = next.status === 'fulfilled' ? next.value : undefined;
    this.#snapshots.entryStored(stored.value.size);
    this.#position = { epoch: this.#deps.epoch, txid: entry.txid };
    this.#commit = entry.commit;
    this.#storedEnd = entry.end;
    this.#deps.onChange();
    // What was committed to another file in this one's place is not in the log: nobody may be told so.
    if (entry.end !== undefined) this.#waiters.stored(entry.end, this.#position, () => this.#live.check());
    if (next.status === 'rejected') throw next.reason;
  }

  /** What it finds is shipped by the next pass. */
  #checkpoint(): void {
    const before = this.#live.isDiskFull;
    this.#live.checkpoint((batch) => this.#prepareFrames(batch, 'commit'), { renew: this.#pressure.isFull });
    if (this.#live.isDiskFull !== before) this.#diskChanged();
    this.#pressure.press(WAL_CAUSE.held);
  }

  #diskChanged(): void {
    if (this.#live.isDiskFull) this.#deps.onEvent({ type: 'warning', code: 'SQLITE_DISK_FULL', message: DISK_FULL });
    this.#deps.onChange();
  }

  #snapshotDue(): boolean {
    return this.#snapshots.isDue({ txid: this.#position.txid, sizeBytes: this.sizeBytes });
  }

  /** Freezes the present state, then stores it as a full image beside the shipping, which goes on. */
  async #snapshot(signal: AbortSignal): Promise<void> {
    const image = this.#live.freezeCaptured((batch) => this.#prepareFrames(batch, 'commit'));
    const txid = this.#pending?.txid ?? this.#position.txid;
    // The image is that of the entry just prepared: it must be in the log first.
    if (this.#pending !== undefined) await this.#pass(signal);
    if (image === undefined || this.#ended !== undefined || this.#position.txid < txid) return;
    if (this.#live.movedOn(image) !== undefined) return;
    const position = { ...this.#position, txid };
    const source = this.#live.source(image);
    this.#tasks.run('snapshot', (stopped) => this.#snapshots.store(position, source, stopped));
  }

  #end(error: CanopyError): void {
    this.#wakeUp.close();
    this.#keeping.abort(error);
    if (this.#ended !== undefined) return;
    this.#ended = error;
    this.#waiters.fail(error);
    this.#wakeUp.now();
    this.#deps.onChange();
  }

  #fail(error: Error, task: string): void {
    this.#deps.env.log.error('primary_failed', { task, reason: error.message });
    const known = CanopyError.is(error)
      ? error
      : sqliteErrors.create('SQLITE_PROCESS_DIED', { path: this.#deps.path, how: `${task}: ${error.message}` }, error);
    this.#end(known);
    this.#deps.onEvent({ type: 'failed', error: known });
  }
}
