/**
 * A database whose log is an array that several nodes share: it claims epochs, ships on sync, is fenced by a higher
 * epoch, and keeps what it could not ship. Enough of a Promotable to test everything around one.
 */
import {
  Broadcast,
  type DatabaseContext,
  type DatabaseEvent,
  type DatabaseProvider,
  type DatabaseRole,
  type DatabaseStatus,
  type Epoch,
  NO_EPOCH,
  type Position,
  type Promotable,
  type PromoteOptions,
} from '@canopy/core';

export class FakeLog {
  epoch: Epoch = NO_EPOCH;
  readonly entries: string[] = [];

  get end(): Position {
    return { epoch: this.epoch, txid: this.entries.length };
  }
}

export class FakeDatabase implements Promotable {
  readonly #log: FakeLog;
  readonly #events = new Broadcast<DatabaseEvent>();
  readonly committed: string[] = [];
  readonly calls: string[] = [];
  role: DatabaseRole = 'closed';
  startRole: DatabaseRole = 'standby';
  epoch: Epoch = NO_EPOCH;
  /** Set by tests. */
  promoteError: Error | undefined;
  /** Goes on after its signal has aborted. */
  isDeaf = false;
  problem: string | undefined;
  beforePromote: (signal: AbortSignal) => Promise<void> = async () => {};
  afterShipped: () => Promise<void> = async () => {};

  constructor(log: FakeLog) {
    this.#log = log;
  }

  async start(): Promise<void> {
    this.calls.push('start');
    this.role = this.startRole;
  }

  async promote({ epoch, signal }: PromoteOptions): Promise<Position> {
    this.calls.push('promote');
    await this.beforePromote(signal);
    if (!this.isDeaf) signal.throwIfAborted();
    if (this.promoteError !== undefined) throw this.promoteError;
    if (epoch <= this.#log.epoch) throw new Error(`the log has epoch ${this.#log.epoch}, not below ${epoch}`);
    const position = this.#log.end;
    this.#events.send({ type: 'wal_catchup_completed', position, applied: 0, ms: 0 });
    this.#log.epoch = epoch;
    this.epoch = epoch;
    this.#events.send({ type: 'epoch_claimed', position: this.#log.end, ms: 0 });
    this.#events.send({ type: 'database_verified', method: 'none', ms: 0 });
    this.role = 'primary';
    return this.#log.end;
  }

  /** What the backend writes. */
  commit(entry: string): void {
    if (this.role !== 'primary') throw new Error(`not primary but ${this.role}`);
    this.committed.push(entry);
  }

  async sync(): Promise<Position> {
    if (this.role !== 'primary') throw new Error(`not primary but ${this.role}`);
    return this.#ship();
  }

  async demote(options: { onShipped?: (position: Position) => void } = {}): Promise<void> {
    this.calls.push('demote');
    this.role = 'demoting';
    if (this.epoch === this.#log.epoch) options.onShipped?.(this.#ship());
    await this.afterShipped();
    this.role = 'standby';
    this.calls.push('demoted');
  }

  async waitFor(): Promise<void> {}

  status(): DatabaseStatus {
    const lag = this.role === 'primary' || this.role === 'standby' ? 0 : undefined;
    return {
      role: this.role,
      path: '/fake',
      position: this.#log.end,
      logEnd: this.#log.end,
      lag: { tx: lag, ms: lag, bytes: lag },
      sizeBytes: undefined,
      lastSnapshotAt: undefined,
      lastVerifiedAt: undefined,
      divergences: [],
      problem: this.problem,
    };
  }

  watch(options: { signal?: AbortSignal | undefined } = {}): AsyncIterable<DatabaseEvent> {
    return this.#events.watch(options);
  }

  /** As if it had begun or ended to look for a way to follow. */
  become(role: DatabaseRole, problem?: string): void {
    this.role = role;
    this.problem = problem;
    this.#events.send({ type: 'role_changed', role, position: this.#log.end });
  }

  /** As if it had broken. */
  break(error: Error): void {
    this.role = 'failed';
    this.#events.send({ type: 'failed', error });
  }

  async stop(): Promise<void> {
    this.calls.push('stop');
    this.role = 'closed';
    this.#events.close();
  }

  #ship(): Position {
    if (this.epoch !== this.#log.epoch) {
      const position = this.#log.end;
      this.#events.send({ type: 'fenced', epoch: this.#log.epoch, position });
      throw new Error(`fenced by epoch ${this.#log.epoch}`);
    }
    this.#log.entries.push(...this.committed.splice(0));
    return this.#log.end;
  }
}

/** Opens databases on one log; `opened` has them by node, newest last. */
export class FakeDatabases implements DatabaseProvider {
  readonly kind = 'fake';
  readonly log = new FakeLog();
  readonly opened: FakeDatabase[] = [];
  startError: Error | undefined;
  startRole: DatabaseRole = 'standby';

  open(_context: DatabaseContext): Promotable {
    const database = new FakeDatabase(this.log);
    database.startRole = this.startRole;
    const { startError } = this;
    if (startError !== undefined)
      database.start = async () => {
        throw startError;
      };
    this.opened.push(database);
    return database;
  }

  get latest(): FakeDatabase {
    return this.opened.at(-1) as FakeDatabase;
  }
}
