/**
 * Who may use the app's database in this process, and when: from the promotion's end to the first sign that the term is
 * over. Invariant: at most one connection, and none is open while the file is being demoted.
 */
import { type Clock, type DatabaseEvent, messageOf, type Promotable } from '@canopy/core';
import type { Leadership } from '@canopy/election';
import { platformErrors } from '../errors.ts';
import { AppDatabase } from './app-database.ts';

export interface DatabaseAccessDeps {
  readonly app: string;
  readonly node: string;
  readonly clock: Clock;
  readonly leader: () => string | undefined;
  /** The open database; undefined: none is open now. */
  readonly database: () => Promotable | undefined;
  readonly hasDatabase: boolean;
}

interface Term {
  readonly leadership: Leadership;
  readonly database: Promotable;
  isLeaving: boolean;
}

export class DatabaseAccess {
  readonly #deps: DatabaseAccessDeps;
  #term: Term | undefined;
  #open: AppDatabase | undefined;

  constructor(deps: DatabaseAccessDeps) {
    this.#deps = deps;
  }

  /** The database was promoted under this leadership. */
  begin(leadership: Leadership, database: Promotable): void {
    this.end();
    this.#term = { leadership, database, isLeaving: false };
  }

  /** A planned step-down has begun: the lease is renewed until the database is given up. */
  leave(): void {
    if (this.#term !== undefined) this.#term.isLeaving = true;
  }

  /** Closes at once what is open. To be called before the file changes its nature. */
  end(): void {
    this.#term = undefined;
    this.#open?.close();
    this.#open = undefined;
  }

  /** The database has changed by itself: a fenced one, or one whose process died, is no primary's any more. */
  heard(event: DatabaseEvent): void {
    const isOver = event.type === 'fenced' || event.type === 'failed';
    // Events are read a little later than they are sent: what counts is what it is by now.
    const isPrimary = this.#deps.database()?.status().role === 'primary';
    if (isOver || (event.type === 'role_changed' && !isPrimary)) this.end();
  }

  /** The connection of this term, opened at the first call. Throws APP_DB_NONE, APP_DB_NOT_PRIMARY, APP_DB_UNUSABLE. */
  current(): AppDatabase {
    const term = this.#term;
    const refusal = this.#refusal(term);
    if (term === undefined || refusal !== undefined) throw refusal ?? this.#notPrimary();
    if (this.#open !== undefined) return this.#open;
    const { app, node, clock } = this.#deps;
    const { leadership, database } = term;
    try {
      const refused = (): Error | undefined => this.#refusal(term);
      this.#open = new AppDatabase({ app, node, epoch: leadership.epoch, database, clock, refusal: refused });
      return this.#open;
    } catch (error) {
      throw platformErrors.create(
        'APP_DB_UNUSABLE',
        { app, path: database.status().path, reason: messageOf(error) },
        error,
      );
    }
  }

  /** The database, whatever its role. Throws APP_DB_NONE, APP_DB_CLOSED. */
  any(): Promotable {
    const { app, node, hasDatabase } = this.#deps;
    if (!hasDatabase) throw platformErrors.create('APP_DB_NONE', { app });
    const database = this.#deps.database();
    if (database === undefined) throw platformErrors.create('APP_DB_CLOSED', { app, node });
    return database;
  }

  /** The database, which is primary here. Throws APP_DB_NONE, APP_DB_CLOSED, APP_DB_NOT_PRIMARY. */
  primary(): Promotable {
    const database = this.any();
    if (database.status().role !== 'primary') throw this.#notPrimary();
    return database;
  }

  #refusal(term: Term | undefined): Error | undefined {
    const { app, clock, hasDatabase } = this.#deps;
    if (!hasDatabase) return platformErrors.create('APP_DB_NONE', { app });
    if (term === undefined || term !== this.#term) return this.#notPrimary();
    const { leadership, isLeaving } = term;
    if (leadership.isValid() || (isLeaving && clock.monotonic() < leadership.deadline())) return undefined;
    return this.#notPrimary();
  }

  #notPrimary(): Error {
    const { app, node } = this.#deps;
    const role = this.#deps.database()?.status().role ?? 'closed';
    const leader = this.#deps.leader();
    // What this node knows of itself is over; another's name it has on hearsay, which may be of use.
    const known = leader === undefined || leader === node ? undefined : leader;
    const fields = { app, node, role, primary: known ?? 'not known here' };
    return platformErrors.create('APP_DB_NOT_PRIMARY', known === undefined ? fields : { ...fields, leader: known });
  }
}
