/** The app's log, as seen from one node: how far it is here, and waiting until it is elsewhere. */
import type { Clock, DatabaseLag, Position } from '@canopy/core';
import { platformErrors } from '../errors.ts';
import type { DatabaseAccess } from './access.ts';
import { type ConfirmOptions, checkConfirmOptions, confirm } from './confirmation.ts';

/** What a database knows of its log. Fields of a kind of database beyond these are passed on as they are. */
export interface WalStats {
  readonly role: string;
  readonly position: Position;
  /** The bucket of the log. */
  readonly bucket?: { readonly bytes: number; readonly replicas: number; readonly maxBytes?: number | undefined };
  readonly [detail: string]: unknown;
}

export class AppWal {
  readonly #access: DatabaseAccess;
  readonly #app: string;
  readonly #clock: Clock;

  constructor(app: string, access: DatabaseAccess, clock: Clock) {
    this.#app = app;
    this.#access = access;
    this.#clock = clock;
  }

  /** What this node has: applied as a standby, shipped as the primary. From memory. Throws APP_DB_NONE, APP_DB_CLOSED. */
  position(): Position {
    return this.#access.any().status().position;
  }

  /** How far this node is behind the log's end. Unknown is undefined. Throws APP_DB_NONE, APP_DB_CLOSED. */
  lag(): DatabaseLag {
    return this.#access.any().status().lag;
  }

  /**
   * Resolves when everything that was committed before the call, by whatever program, is as durable as asked for. Throws
   * APP_DB_NOT_PRIMARY, OPTIONS_INVALID, DEADLINE_EXCEEDED, SQLITE_NOT_APPLIED and what the database says.
   */
  async sync(options: ConfirmOptions = {}): Promise<Position> {
    const { durability = 'replicated', signal } = options;
    const timeoutMs = checkConfirmOptions(`sync of app ${this.#app}`, options);
    return confirm(this.#access.primary(), this.#clock, { durability, timeoutMs, signal });
  }

  /** Throws APP_DB_NONE, APP_DB_CLOSED, APP_DB_UNSUPPORTED. */
  async stats(options: { signal?: AbortSignal | undefined } = {}): Promise<WalStats> {
    return (await administer(this.#access, this.#app, { op: 'stats' }, options)) as WalStats;
  }
}

/** One request to the open database, whatever its role. Throws APP_DB_UNSUPPORTED where its kind has no administration. */
export async function administer(
  access: DatabaseAccess,
  app: string,
  request: { readonly op: string; readonly [argument: string]: unknown },
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<unknown> {
  const database = access.any();
  if (database.admin === undefined) throw platformErrors.create('APP_DB_UNSUPPORTED', { app, op: request.op });
  return database.admin(request, options);
}
