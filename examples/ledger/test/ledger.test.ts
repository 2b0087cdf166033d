import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Ledger } from '../src/ledger.ts';
import { type Answer, answer } from '../src/routes.ts';

let dir: string;
let ledger: Ledger;
let committed: string[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ledger-'));
  committed = [];
  ledger = new Ledger(join(dir, 'ledger.db'), { accounts: 3, balance: 100 }, (id) => committed.push(id));
});
afterEach(() => {
  ledger.close();
  rmSync(dir, { recursive: true });
});

function ask(method: string, target: string, body?: unknown): Answer {
  const [path, search] = target.split('?');
  return answer(ledger, { method, path: path as string, query: new URLSearchParams(search), body });
}

function codeOf(given: Answer): string {
  return `${given.status} ${(given.body as { error: { code: string } }).error.code}`;
}

const order = { from: 'acct-0', to: 'acct-1', amount: 30 };

describe('a transfer', () => {
  it('moves money once, and keeps the sum', () => {
    expect(ask('PUT', '/transfers/t1', order)).toMatchObject({ status: 201, body: { id: 't1', ...order, seq: 1 } });
    expect(ask('GET', '/accounts').body).toEqual({
      accounts: [
        { id: 'acct-0', balance: 70, opening: 100 },
        { id: 'acct-1', balance: 130, opening: 100 },
        { id: 'acct-2', balance: 100, opening: 100 },
      ],
      next: null,
    });
    expect(ask('GET', '/sum').body).toEqual({ balance: 300, opening: 300, accounts: 3, transfers: 1 });
  });

  it('answers a repeat with the first result, and moves nothing again', () => {
    const first = ask('PUT', '/transfers/t1', order);
    expect(ask('PUT', '/transfers/t1', order)).toEqual({ status: 200, body: first.body });
    expect(ask('GET', '/accounts/acct-0').body).toMatchObject({ balance: 70 });
    expect(committed).toEqual(['t1']);
  });

  it('answers a repeat also when the money would not suffice any more', () => {
    ask('PUT', '/transfers/all', { ...order, amount: 100 });
    expect(ask('PUT', '/transfers/all', { ...order, amount: 100 }).status).toBe(200);
  });

  it.each([
    ['another amount', { ...order, amount: 31 }],
    ['another source', { ...order, from: 'acct-2' }],
    ['another target', { ...order, to: 'acct-2' }],
    ['the two swapped', { ...order, from: order.to, to: order.from }],
  ])('refuses %s under the same id', (_, body) => {
    ask('PUT', '/transfers/t1', order);
    expect(codeOf(ask('PUT', '/transfers/t1', body))).toBe('409 transfer_differs');
    expect(ask('GET', '/sum').body).toMatchObject({ transfers: 1 });
  });

  it.each([
    ['more than there is', { ...order, amount: 101 }, '409 insufficient_funds'],
    ['an unknown source', { ...order, from: 'nobody' }, '404 account_unknown'],
    ['an unknown target', { ...order, to: 'nobody' }, '404 account_unknown'],
    ['one account only', { ...order, to: 'acct-0' }, '400 same_account'],
    ['nothing', { ...order, amount: 0 }, '400 amount_invalid'],
    ['a negative amount', { ...order, amount: -1 }, '400 amount_invalid'],
    ['a part of a unit', { ...order, amount: 0.5 }, '400 amount_invalid'],
    ['an amount as text', { ...order, amount: '30' }, '400 amount_invalid'],
    ['a field too many', { ...order, note: 'x' }, '400 field_unknown'],
    ['no body', undefined, '400 body_invalid'],
    ['a list', [order], '400 body_invalid'],
  ])('refuses %s', (_, body, expected) => {
    expect(codeOf(ask('PUT', '/transfers/t1', body))).toBe(expected);
    expect(ask('GET', '/sum').body).toMatchObject({ balance: 300, transfers: 0 });
    expect(committed).toEqual([]);
  });

  it('is found by id and listed in pages', () => {
    for (let i = 0; i < 5; i++) ask('PUT', `/transfers/t${i}`, { ...order, amount: 1 });
    expect(ask('GET', '/transfers/t3').body).toMatchObject({ id: 't3', seq: 4 });
    expect(codeOf(ask('GET', '/transfers/t9'))).toBe('404 not_found');
    const seen: string[] = [];
    let next: number | null = 0;
    while (next !== null) {
      const page = ask('GET', `/transfers?after=${next}&limit=2`).body as { transfers: { id: string }[]; next: number };
      seen.push(...page.transfers.map((transfer) => transfer.id));
      next = page.next;
    }
    expect(seen).toEqual(['t0', 't1', 't2', 't3', 't4']);
    expect(codeOf(ask('GET', '/transfers?limit=0'))).toBe('400 query_invalid');
    expect(codeOf(ask('GET', '/transfers?after=x'))).toBe('400 query_invalid');
  });
});

describe('an account', () => {
  it('is opened once', () => {
    expect(ask('POST', '/accounts', { id: 'new', balance: 5 }).status).toBe(201);
    ask('PUT', '/transfers/t1', { from: 'acct-0', to: 'new', amount: 1 });
    expect(ask('POST', '/accounts', { id: 'new', balance: 5 })).toMatchObject({ status: 200, body: { balance: 6 } });
    expect(codeOf(ask('POST', '/accounts', { id: 'new', balance: 6 }))).toBe('409 account_exists');
    expect(codeOf(ask('POST', '/accounts', { id: 'a b', balance: 6 }))).toBe('400 id_invalid');
  });

  it('that is not there is a 404, and other paths and methods are told apart', () => {
    expect(codeOf(ask('GET', '/accounts/nobody'))).toBe('404 not_found');
    expect(codeOf(ask('GET', '/else'))).toBe('404 not_found');
    expect(codeOf(ask('DELETE', '/transfers/t1'))).toBe('405 method_not_allowed');
  });
});

describe('the database itself', () => {
  it('refuses what would break the invariant, whoever writes', () => {
    ask('PUT', '/transfers/t1', order);
    const other = new DatabaseSync(join(dir, 'ledger.db'));
    try {
      expect(() => other.exec("UPDATE transfers SET amount = 1 WHERE id = 't1'")).toThrow('never changed');
      expect(() => other.exec('DELETE FROM transfers')).toThrow('never removed');
      const insert =
        "INSERT INTO transfers (id, source, target, amount, recorded_at) VALUES ('x', 'acct-0', 'acct-1', ";
      expect(() => other.exec(`${insert} 71, 0)`)).toThrow('insufficient_funds');
      expect(() => other.exec(`${insert} -1, 0)`)).toThrow('CHECK');
    } finally {
      other.close();
    }
    expect(ask('GET', '/sum').body).toMatchObject({ balance: 300, transfers: 1 });
  });

  it('is in WAL mode, seeded only when empty, and not written to by opening it', () => {
    ask('PUT', '/transfers/t1', order);
    ledger.close();
    const path = join(dir, 'ledger.db');
    const hash = (): string => createHash('sha256').update(readFileSync(path)).digest('hex');
    const before = hash();
    ledger = new Ledger(path, { accounts: 9, balance: 9 });
    expect(ask('GET', '/healthz').status).toBe(200);
    expect(ask('GET', '/sum').body).toMatchObject({ accounts: 3, transfers: 1 });
    expect(existsSync(`${path}-wal`) ? readFileSync(`${path}-wal`).length : 0).toBe(0);
    expect(hash()).toBe(before);
    expect(readFileSync(path).subarray(18, 20)).toEqual(Buffer.from([2, 2]));
  });

  it('that another connection holds is a 503, to be repeated', { timeout: 10_000 }, () => {
    const other = new DatabaseSync(join(dir, 'ledger.db'));
    try {
      other.exec('BEGIN IMMEDIATE');
      expect(codeOf(ask('PUT', '/transfers/t1', order))).toBe('503 database_unavailable');
      other.exec('ROLLBACK');
    } finally {
      other.close();
    }
    expect(ask('PUT', '/transfers/t1', order).status).toBe(201);
  });
});
