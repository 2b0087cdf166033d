/**
 * The database's rules. A transfer is one row that is never changed; a trigger posts its debit and its credit in the
 * same statement, so no code path can move one half, and a CHECK refuses a balance below zero. Hence at every commit:
 * each balance is its opening plus what came in minus what went out, and the sum of balances is the sum of openings.
 */
import type { DatabaseSync } from 'node:sqlite';

const SCHEMA = `
CREATE TABLE accounts (
  id      TEXT PRIMARY KEY CHECK (length(id) BETWEEN 1 AND 128),
  opening INTEGER NOT NULL CHECK (opening >= 0),
  balance INTEGER NOT NULL CONSTRAINT insufficient_funds CHECK (balance >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE transfers (
  seq         INTEGER PRIMARY KEY AUTOINCREMENT,
  id          TEXT NOT NULL UNIQUE CHECK (length(id) BETWEEN 1 AND 128),
  source      TEXT NOT NULL REFERENCES accounts (id),
  target      TEXT NOT NULL REFERENCES accounts (id),
  amount      INTEGER NOT NULL CHECK (amount > 0),
  recorded_at INTEGER NOT NULL,
  CHECK (source <> target)
) STRICT;

CREATE TRIGGER transfers_post AFTER INSERT ON transfers BEGIN
  UPDATE accounts SET balance = balance - NEW.amount WHERE id = NEW.source;
  UPDATE accounts SET balance = balance + NEW.amount WHERE id = NEW.target;
END;
CREATE TRIGGER transfers_keep BEFORE UPDATE ON transfers BEGIN SELECT RAISE(ABORT, 'a transfer is never changed'); END;
CREATE TRIGGER transfers_stay BEFORE DELETE ON transfers BEGIN SELECT RAISE(ABORT, 'a transfer is never removed'); END;
`;

/** Makes the tables in a database that has none and fills them; one that has them is not written to. */
export function prepareSchema(db: DatabaseSync, seed: { readonly accounts: number; readonly balance: number }): void {
  if (hasSchema(db)) return;
  db.exec('BEGIN IMMEDIATE');
  try {
    // Another instance may have made it while this one waited for the write lock.
    if (!hasSchema(db)) {
      db.exec(SCHEMA);
      const insert = db.prepare('INSERT INTO accounts (id, opening, balance) VALUES (?, ?, ?)');
      for (let i = 0; i < seed.accounts; i++) insert.run(`acct-${i}`, seed.balance, seed.balance);
    }
    db.exec('COMMIT');
  } catch (error) {
    db.exec('ROLLBACK');
    throw error;
  }
}

function hasSchema(db: DatabaseSync): boolean {
  return db.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'transfers'").get() !== undefined;
}
