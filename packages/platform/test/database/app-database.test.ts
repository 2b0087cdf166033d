import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { coreErrors, epoch, type Position, type SyncOptions, systemEnv } from '@canopy/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DatabaseAccess } from '../../src/database/access.ts';
import { AppWal } from '../../src/database/app-wal.ts';
import { FakeDatabase, FakeLog } from '../fakes/database.ts';
import { FakeLeadership } from '../fakes/leadership.ts';

const { clock } = systemEnv();

/** A primary whose file is real, and whose confirmations the test decides. */
class FileDatabase extends FakeDatabase {
  readonly path: string;
  readonly syncs: SyncOptions[] = [];
  answer: (options: SyncOptions) => Promise<Position> = async () => ({ epoch: epoch(7), txid: 1 });

  constructor(path: string) {
    super(new FakeLog());
    this.path = path;
    this.role = 'primary';
  }

  override status() {
    return { ...super.status(), path: this.path };
  }

  override sync(options: SyncOptions = {}): Promise<Position> {
    this.syncs.push(options);
    return this.answer(options);
  }
}

let directory: string;
let database: FileDatabase;
let leadership: FakeLeadership;
let access: DatabaseAccess;
let other: DatabaseSync;
let leader: string | undefined;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'canopy-app-db-'));
  database = new FileDatabase(join(directory, 'a b#1.db'));
  other = new DatabaseSync(database.path, { timeout: 0 });
  other.exec('PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, x)');
  leadership = new FakeLeadership(clock, 7);
  leader = undefined;
  const parts = { app: 'ledger', node: 'n1', clock, leader: () => leader, hasDatabase: true };
  access = new DatabaseAccess({ ...parts, database: () => database });
  access.begin(leadership, database);
});
afterEach(() => {
  access.end();
  if (other.isOpen) other.close();
  rmSync(directory, { recursive: true, force: true });
});

const ids = (): unknown[] =>
  other
    .prepare('SELECT id FROM t ORDER BY id')
    .all()
    .map((row) => row.id);
const insert = (id: number) => (db: DatabaseSync) => db.prepare('INSERT INTO t(id) VALUES (?)').run(id).changes;

describe('a transaction', () => {
  it('commits and gives the result; without being asked to it is not confirmed', async () => {
    expect(await access.current().transaction(insert(1))).toBe(1);
    expect(ids()).toEqual([1]);
    expect(database.syncs).toEqual([]);
  });

  it.each(['replicated', { applied: 2 }] as const)('with durability %j waits for it', async (durability) => {
    const { promise, resolve } = Promise.withResolvers<Position>();
    database.answer = () => promise;
    let isDone = false;
    const done = access
      .current()
      .transaction(insert(1), { durability })
      .then(() => {
        isDone = true;
      });
    await clock.sleep(20);
    expect([ids(), isDone]).toEqual([[1], false]);
    expect(database.syncs).toMatchObject([{ durability }]);
    resolve({ epoch: epoch(7), txid: 2 });
    await done;
  });

  it('what its function throws rolls back and comes out as it is', async () => {
    const error = new Error('no money');
    const failing = access.current().transaction((db) => {
      insert(1)(db);
      throw error;
    });
    await expect(failing).rejects.toBe(error);
    expect(ids()).toEqual([]);
    await access.current().transaction(insert(2));
    expect(ids()).toEqual([2]);
  });

  it('that is not confirmed is told apart: it is committed here', async () => {
    database.answer = async () => {
      throw new Error('fenced by epoch 8');
    };
    const failing = access.current().transaction(insert(1), { durability: 'replicated' });
    await expect(failing).rejects.toMatchObject({
      code: 'APP_DB_UNCONFIRMED',
      retryable: false,
      message: expect.stringContaining('committed on node n1'),
      cause: expect.objectContaining({ message: 'fenced by epoch 8' }),
    });
    expect(ids()).toEqual([1]);
  });

  it('the sync of a later term proves nothing', async () => {
    database.answer = async () => ({ epoch: epoch(9), txid: 5 });
    const failing = access.current().transaction(insert(1), { durability: 'replicated' });
    await expect(failing).rejects.toMatchObject({ code: 'APP_DB_UNCONFIRMED' });
  });

  it('a confirmation that does not come ends with the time given, and says what is known', async () => {
    database.answer = ({ signal }) =>
      new Promise((_, reject) =>
        signal?.addEventListener('abort', () => reject(new Error('1 of 2 standbys have it')), { once: true }),
      );
    const failing = access.current().transaction(insert(1), { durability: { applied: 2 }, timeout: '50ms' });
    await expect(failing).rejects.toMatchObject({
      code: 'APP_DB_UNCONFIRMED',
      message: expect.stringContaining('1 of 2 standbys'),
    });
    database.answer = () => new Promise(() => {});
    const silent = access.current().transaction(insert(2), { durability: 'replicated', timeout: 50 });
    await expect(silent).rejects.toMatchObject({
      cause: { code: 'DEADLINE_EXCEEDED', message: expect.stringContaining('NATS may be away') },
    });
    expect(ids()).toEqual([1, 2]);
  });

  it.each(['sometime', { applied: 0 }, { applied: 1.5 }, null])(
    'durability %j is refused before anything',
    async (durability) => {
      const failing = access.current().transaction(insert(1), { durability: durability as never });
      await expect(failing).rejects.toMatchObject({ code: 'OPTIONS_INVALID' });
      expect(ids()).toEqual([]);
    },
  );

  it('waits for another writer without blocking this process, and gives up with the signal', async () => {
    other.exec('BEGIN IMMEDIATE');
    const waiting = access.current().transaction(insert(1));
    const given = new AbortController();
    const tired = access.current().transaction(insert(2), { signal: given.signal });
    const begunAt = clock.monotonic();
    await clock.sleep(30);
    expect(clock.monotonic() - begunAt).toBeLessThan(500);
    given.abort(new Error('enough'));
    await expect(tired).rejects.toThrow('enough');
    other.exec('COMMIT');
    await waiting;
    expect(ids()).toEqual([1]);
  });

  it('of two at once both commit, one after the other', async () => {
    const db = access.current();
    await Promise.all([db.transaction(insert(1)), db.transaction(insert(2))]);
    expect(ids()).toEqual([1, 2]);
  });

  it('whose function waits, ends it, or begins another one is refused and rolled back', async () => {
    const db = access.current();
    const waits = db.transaction(async (tx) => {
      insert(1)(tx);
      throw new Error('later');
    });
    await expect(waits).rejects.toMatchObject({ code: 'APP_DB_TRANSACTION' });
    const ends = db.transaction((tx) => tx.exec('ROLLBACK'));
    await expect(ends).rejects.toMatchObject({ code: 'APP_DB_TRANSACTION' });
    db.exec('BEGIN');
    await expect(db.transaction(insert(2))).rejects.toMatchObject({ code: 'APP_DB_TRANSACTION' });
    db.exec('ROLLBACK');
    expect(ids()).toEqual([]);
  });

  it('is rolled back when the lease ran out before its commit', async () => {
    const failing = access.current().transaction((db) => {
      insert(1)(db);
      leadership.until = 0;
    });
    await expect(failing).rejects.toMatchObject({ code: 'APP_DB_ROLLED_BACK', cause: { code: 'APP_DB_NOT_PRIMARY' } });
    expect(ids()).toEqual([]);
  });
});

describe('the connection', () => {
  it('is the same for the whole term, leaves checkpoints alone, and makes no file', () => {
    const db = access.current();
    expect(access.current()).toBe(db);
    expect(db.prepare('PRAGMA wal_autocheckpoint').get()).toEqual({ wal_autocheckpoint: 0 });
    access.end();
    const gone = new FileDatabase(join(directory, 'none.db'));
    access.begin(leadership, gone);
    expect(() => access.current()).toThrow(expect.objectContaining({ code: 'APP_DB_UNUSABLE' }));
    expect(() => new DatabaseSync(gone.path, { readOnly: true })).toThrow();
  });

  it('is closed when the term ends: what is open is rolled back, nothing can be done any more', async () => {
    const db = access.current();
    const statement = db.prepare('INSERT INTO t(id) VALUES (1)');
    const raw = db.connection;
    db.exec('BEGIN IMMEDIATE; INSERT INTO t(id) VALUES (5)');
    leader = 'n2';
    access.end();
    expect(ids()).toEqual([]);
    expect(() => statement.run()).toThrow();
    expect(() => raw.exec('SELECT 1')).toThrow();
    const refused = { code: 'APP_DB_NOT_PRIMARY', fields: { node: 'n1', leader: 'n2' } };
    expect(() => db.exec('SELECT 1')).toThrow(expect.objectContaining({ code: refused.code }));
    expect(() => access.current()).toThrow(expect.objectContaining({ code: refused.code }));
    await expect(db.transaction(insert(1))).rejects.toMatchObject(refused);
    // Nothing of ours holds a lock: somebody else may take the file for itself.
    other.exec('PRAGMA journal_mode=DELETE');
  });

  it('an old one stays closed in the next term', () => {
    const db = access.current();
    access.begin(new FakeLeadership(clock, 8), database);
    expect(() => db.exec('SELECT 1')).toThrow(expect.objectContaining({ code: 'APP_DB_NOT_PRIMARY' }));
    access.current().exec('SELECT 1');
  });

  it('may be used while a planned step-down goes on, and not when the lease was lost', () => {
    const db = access.current();
    leadership.end();
    expect(() => db.exec('SELECT 1')).toThrow(expect.objectContaining({ code: 'APP_DB_NOT_PRIMARY' }));
    access.leave();
    db.exec('SELECT 1');
    leadership.until = 0;
    expect(() => db.exec('SELECT 1')).toThrow(expect.objectContaining({ code: 'APP_DB_NOT_PRIMARY' }));
  });

  it('is closed when the database says that it was fenced, failed, or became something else', () => {
    const position = { epoch: epoch(8), txid: 1 };
    for (const event of [
      { type: 'fenced', epoch: epoch(8), position },
      { type: 'failed', error: coreErrors.create('DEADLINE_EXCEEDED', { operation: 'x', timeoutMs: 1 }) },
    ] as const) {
      access.begin(leadership, database);
      const raw = access.current().connection;
      access.heard(event);
      expect(raw.isOpen).toBe(false);
    }
    access.begin(leadership, database);
    access.heard({ type: 'role_changed', role: 'standby', position });
    access.current();
    database.role = 'demoting';
    access.heard({ type: 'role_changed', role: 'demoting', position });
    expect(() => access.current()).toThrow(expect.objectContaining({ code: 'APP_DB_NOT_PRIMARY' }));
  });
});

describe('the log of an app', () => {
  it('tells where it is, syncs on the primary only', async () => {
    const wal = new AppWal('ledger', access, clock);
    expect(wal.position()).toEqual(database.status().position);
    expect(wal.lag()).toEqual({ tx: 0, ms: 0, bytes: 0 });
    expect(await wal.sync({ durability: { applied: 1 } })).toEqual({ epoch: 7, txid: 1 });
    database.role = 'standby';
    leader = 'n3';
    await expect(wal.sync()).rejects.toMatchObject({ code: 'APP_DB_NOT_PRIMARY', fields: { leader: 'n3' } });
    await expect(wal.stats()).rejects.toMatchObject({ code: 'APP_DB_UNSUPPORTED' });
  });

  it('is an error where there is none', () => {
    const none = new DatabaseAccess({
      app: 'x',
      node: 'n1',
      clock,
      leader: () => undefined,
      hasDatabase: false,
      database: () => undefined,
    });
    expect(() => none.current()).toThrow(expect.objectContaining({ code: 'APP_DB_NONE' }));
    expect(() => none.any()).toThrow(expect.objectContaining({ code: 'APP_DB_NONE' }));
  });
});
