/** What an app offers its own code of its database: the part of App that is about data. */
import { type Env, Lifecycle, type Promotable } from '@canopy/core';
import { DatabaseAccess } from './access.ts';
import type { AppDatabase } from './app-database.ts';
import { AppSnapshots } from './app-snapshots.ts';
import { AppWal } from './app-wal.ts';

export abstract class DataApp extends Lifecycle {
  readonly name: string;
  /** The log of its database. */
  readonly wal: AppWal;
  /** Named states of its database, and restoring. */
  readonly snapshots: AppSnapshots;
  /** For the platform: who may use the database when. */
  readonly access: DatabaseAccess;

  constructor(name: string, options: { readonly node: string; readonly hasDatabase: boolean }, env: Env) {
    super(`app ${name}`);
    this.name = name;
    this.access = new DatabaseAccess({
      app: name,
      ...options,
      clock: env.clock,
      leader: () => this.leader,
      database: () => this.database,
    });
    this.wal = new AppWal(name, this.access, env.clock);
    this.snapshots = new AppSnapshots(name, this.access);
  }

  /** As this node sees it. */
  abstract get leader(): string | undefined;

  /** The open one; undefined while there is none. */
  protected abstract get database(): Promotable | undefined;

  /**
   * The app's database in this process, to read and to write, while this node is its primary: from before `onActive` to
   * after `onPassive`. Throws APP_DB_NOT_PRIMARY (its field `leader` says who is, as far as known), APP_DB_NONE.
   */
  db(): AppDatabase {
    return this.access.current();
  }
}
