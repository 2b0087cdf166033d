/**
 * Accounts and transfers in one SQLite database. A transfer happens at most once per id: a repeat gets the first
 * result, another content under the same id is refused. Schema.ts says what always holds.
 */
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { Problem } from './problem.ts';
import { prepareSchema } from './schema.ts';

export interface Account {
  readonly id: string;
  /** Money is whole units. */
  readonly balance: number;
  /** What the account began with. */
  readonly opening: number;
}

export interface TransferOrder {
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly amount: number;
}

export interface Transfer extends TransferOrder {
  /** The order in which transfers happened; what pages are cut by. */
  readonly seq: number;
  /** Wall clock, Unix milliseconds. For people. */
  readonly recordedAt: number;
}

export interface Sum {
  /** All balances together; always equal to `opening`. */
  readonly balance: number;
  readonly opening: number;
  readonly accounts: number;
  readonly transfers: number;
}

/** How long a statement waits for another connection's write before the request is answered 503. */
const BUSY_TIMEOUT_MS = 1000;
const TRANSFER_COLUMNS = 'seq, id, source AS "from", target AS "to", amount, recorded_at AS recordedAt';

export class Ledger {
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  readonly #onCommit: (id: string) => void;

  /** `onCommit` hears of each new transfer right after its commit. */
  constructor(
    path: string,
    seed: { readonly accounts: number; readonly balance: number },
    onCommit: (id: string) => void = () => {},
  ) {
    this.#db = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
    this.#onCommit = onCommit;
    try {
      this.#db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON');
      prepareSchema(this.#db, seed);
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  /** The account, and whether it is new. Throws 409 `account_exists` when it was opened with another balance. */
  openAccount(id: string, balance: number): { account: Account; created: boolean } {
    return this.#write(() => {
      const known = this.account(id);
      if (known !== undefined) {
        if (known.opening === balance) return { account: known, created: false };
        throw new Problem(409, 'account_exists', `account ${id} was opened with ${known.opening}, not ${balance}`);
      }
      this.#sql('INSERT INTO accounts (id, opening, balance) VALUES (?, ?, ?)').run(id, balance, balance);
      return { account: { id, balance, opening: balance }, created: true };
    });
  }

  /**
   * The transfer, and whether it happened just now. Throws 409 `transfer_differs` or `insufficient_funds`,
   * 404 `account_unknown`, 400 `same_account`.
   */
  transfer(order: TransferOrder): { transfer: Transfer; created: boolean } {
    const first = this.find(order.id);
    if (first !== undefined) return { transfer: sameOrder(first, order), created: false };
    if (order.from === order.to) throw new Problem(400, 'same_account', '"from" and "to" are the same account');
    const result = this.#write(() => {
      // Looked up again: another process may have written between the first look and the write lock.
      const known = this.find(order.id);
      if (known !== undefined) return { transfer: sameOrder(known, order), created: false };
      const source = this.#require(order.from);
      this.#require(order.to);
      if (source.balance < order.amount) {
        throw new Problem(
          409,
          'insufficient_funds',
          `account ${source.id} has ${source.balance}, ${order.amount} is asked for`,
        );
      }
      const recordedAt = Date.now();
      const { lastInsertRowid } = this.#sql(
        'INSERT INTO transfers (id, source, target, amount, recorded_at) VALUES (?, ?, ?, ?, ?)',
      ).run(order.id, order.from, order.to, order.amount, recordedAt);
      return { transfer: { seq: Number(lastInsertRowid), ...order, recordedAt }, created: true };
    });
    if (result.created) this.#onCommit(order.id);
    return result;
  }

  account(id: string): Account | undefined {
    return this.#sql('SELECT id, balance, opening FROM accounts WHERE id = ?').get(id) as Account | undefined;
  }

  /** Up to `limit` accounts after `after`, by id. */
  accounts(after: string, limit: number): Account[] {
    const rows = this.#sql('SELECT id, balance, opening FROM accounts WHERE id > ? ORDER BY id LIMIT ?');
    return rows.all(after, limit) as unknown as Account[];
  }

  find(id: string): Transfer | undefined {
    return this.#sql(`SELECT ${TRANSFER_COLUMNS} FROM transfers WHERE id = ?`).get(id) as Transfer | undefined;
  }

  /** Up to `limit` transfers after number `after`, in the order in which they happened. */
  transfers(after: number, limit: number): Transfer[] {
    const rows = this.#sql(`SELECT ${TRANSFER_COLUMNS} FROM transfers WHERE seq > ? ORDER BY seq LIMIT ?`);
    return rows.all(after, limit) as unknown as Transfer[];
  }

  sum(): Sum {
    return this.#sql(
      `SELECT coalesce(sum(balance), 0) AS balance, coalesce(sum(opening), 0) AS opening, count(*) AS accounts,
        (SELECT count(*) FROM transfers) AS transfers FROM accounts`,
    ).get() as unknown as Sum;
  }

  /** Throws when the database can't be read. */
  ping(): void {
    this.#sql('SELECT 1 FROM transfers LIMIT 1').get();
  }

  close(): void {
    this.#statements.clear();
    this.#db.close();
  }

  #require(id: string): Account {
    const account = this.account(id);
    if (account === undefined) throw new Problem(404, 'account_unknown', `there is no account ${id}`);
    return account;
  }

  #write<T>(work: () => T): T {
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#db.exec('COMMIT');
      return result;
    } catch (error) {
      // A failed COMMIT may have ended the transaction already.
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
      throw error;
    }
  }

  /** Prepared on first use: start-up pays for none of them. */
  #sql(text: string): StatementSync {
    let statement = this.#statements.get(text);
    if (statement === undefined) {
      statement = this.#db.prepare(text);
      this.#statements.set(text, statement);
    }
    return statement;
  }
}

function sameOrder(first: Transfer, order: TransferOrder): Transfer {
  if (first.from === order.from && first.to === order.to && first.amount === order.amount) return first;
  throw new Problem(
    409,
    'transfer_differs',
    `transfer ${order.id} moved ${first.amount} from ${first.from} to ${first.to}; this request asks for something else`,
  );
}
