/**
 * One promotion of the database and its undoing. A promotion is aborted by a signal, but may succeed all the same, even
 * long after nobody waits for it: `undo` waits for its end and takes it back. Invariant: after `undo` has resolved the
 * database is not primary by this promotion, and never will be.
 */
import type { DatabaseRole, Position, Promotable, PromoteOptions } from '@canopy/core';

/** Roles in which a promotion that has failed left nothing to take back. */
const UNDONE: ReadonlySet<DatabaseRole> = new Set(['standby', 'opening', 'demoting', 'closed']);

export class Promotion {
  readonly #database: Promotable;
  #isRunning = true;
  /** As the database's promotion settles. */
  readonly position: Promise<Position>;

  /** Begins at once. */
  constructor(database: Promotable, options: PromoteOptions) {
    this.#database = database;
    this.position = database.promote(options);
    const ended = (): void => {
      this.#isRunning = false;
    };
    this.position.then(ended, ended);
  }

  /** It has neither succeeded nor failed yet. */
  get isRunning(): boolean {
    return this.#isRunning;
  }

  /** Resolves with whether there was something to take back; rejects as the demotion of a primary does. */
  async undo(options: { onShipped?: (position: Position) => void } = {}): Promise<boolean> {
    const wasPromoted = await this.position.then(
      () => true,
      () => false,
    );
    if (!wasPromoted && UNDONE.has(this.#database.status().role)) return false;
    const demoting = this.#database.demote(options);
    // A database that failed during its promotion may have nothing that could be demoted.
    if (!wasPromoted) return demoting.then(() => true).catch(() => false);
    await demoting;
    return true;
  }
}
