import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkLedger, type FinalAccount, type FinalTransfer, type LedgerHistory } from '../../src/check/index.ts';

const transfers: FinalTransfer[] = [
  { id: 't1', from: 'a', to: 'b', amount: 30 },
  { id: 't2', from: 'b', to: 'c', amount: 5 },
  { id: 't3', from: 'c', to: 'a', amount: 1 },
];
const accounts: FinalAccount[] = [
  { id: 'a', opening: 100, balance: 71 },
  { id: 'b', opening: 100, balance: 125 },
  { id: 'c', opening: 100, balance: 104 },
];
const correct: LedgerHistory = { acknowledged: transfers, finalTransfers: transfers, accounts, initialSum: 300 };
const clean = { lost: 0, duplicated: 0, invariant: true, details: [] };

function balance(id: string, value: number): FinalAccount[] {
  return accounts.map((account) => (account.id === id ? { ...account, balance: value } : account));
}

describe('checkLedger accepts', () => {
  it('a correct history', () => expect(checkLedger(correct)).toEqual(clean));

  it('transfers that happened though nobody saw them acknowledged', () =>
    expect(checkLedger({ ...correct, acknowledged: transfers.slice(0, 1) })).toEqual(clean));

  it('a transfer that was acknowledged twice (a repeat) and happened once', () =>
    expect(checkLedger({ ...correct, acknowledged: [...transfers, ...transfers] })).toEqual(clean));

  it('every honest history', () => {
    const order = fc.record({ from: fc.nat(3), step: fc.integer({ min: 1, max: 3 }), amount: fc.integer({ min: 1 }) });
    fc.assert(
      fc.property(fc.array(order), (orders) => {
        const final = new Map([0, 1, 2, 3].map((id) => [String(id), 1e12]));
        const made = orders.map(({ from, step, amount }, i) => {
          const transfer = { id: `t${i}`, from: String(from), to: String((from + step) % 4), amount };
          final.set(transfer.from, (final.get(transfer.from) as number) - amount);
          final.set(transfer.to, (final.get(transfer.to) as number) + amount);
          return transfer;
        });
        const stored = [...final].map(([id, value]) => ({ id, opening: 1e12, balance: value }));
        const verdict = checkLedger({
          acknowledged: made,
          finalTransfers: made,
          accounts: stored,
          initialSum: 4e12,
        });
        expect(verdict).toEqual(clean);
      }),
      { seed: 7, numRuns: 50 },
    );
  });
});

describe('checkLedger rejects', () => {
  it('a lost transfer, with its money moved back', () => {
    const kept = transfers.slice(0, 2);
    const before: FinalAccount[] = [
      { id: 'a', opening: 100, balance: 70 },
      { id: 'b', opening: 100, balance: 125 },
      { id: 'c', opening: 100, balance: 105 },
    ];
    expect(checkLedger({ ...correct, finalTransfers: kept, accounts: before })).toEqual({
      ...clean,
      lost: 1,
      details: ['transfer t3 was acknowledged and is not there'],
    });
  });

  it('a lost row whose money stayed moved', () =>
    expect(checkLedger({ ...correct, finalTransfers: transfers.slice(0, 2) })).toMatchObject({
      lost: 1,
      invariant: false,
    }));

  it('a duplicated row, whether its money moved twice or once', () => {
    const twice = [...transfers, transfers[2] as FinalTransfer];
    expect(checkLedger({ ...correct, finalTransfers: twice })).toMatchObject({ duplicated: 1, invariant: false });
    const moved = balance('a', 72).map((a) => (a.id === 'c' ? { ...a, balance: 103 } : a));
    const verdict = checkLedger({ ...correct, finalTransfers: twice, accounts: moved });
    expect(verdict).toMatchObject({ lost: 0, duplicated: 1, invariant: true });
  });

  it.each([
    ['amount', { amount: 31 }],
    ['source', { from: 'c' }],
    ['target', { to: 'c' }],
  ])('another %s than was acknowledged', (_, change) => {
    const acknowledged = [{ ...(transfers[0] as FinalTransfer), ...change }, ...transfers.slice(1)];
    expect(checkLedger({ ...correct, acknowledged })).toMatchObject({ lost: 1, duplicated: 0 });
  });

  it('money that was made', () =>
    expect(checkLedger({ ...correct, accounts: balance('a', 72) })).toMatchObject({ lost: 0, invariant: false }));

  it('money that was lost', () =>
    expect(checkLedger({ ...correct, accounts: balance('b', 124) })).toMatchObject({ invariant: false }));

  it('money that changed hands without a transfer, the sum being right', () => {
    const shifted = balance('a', 70).map((a) => (a.id === 'b' ? { ...a, balance: 126 } : a));
    expect(checkLedger({ ...correct, accounts: shifted })).toMatchObject({ lost: 0, invariant: false });
  });

  it('money that was made by changing openings', () => {
    const richer = accounts.map((a) => (a.id === 'a' ? { ...a, opening: 101, balance: 72 } : a));
    expect(checkLedger({ ...correct, accounts: richer })).toMatchObject({ invariant: false });
  });

  it('a balance below zero', () => {
    const debt = { id: 't4', from: 'a', to: 'b', amount: 80 };
    const moved = balance('a', -9).map((a) => (a.id === 'b' ? { ...a, balance: 205 } : a));
    expect(checkLedger({ ...correct, finalTransfers: [...transfers, debt], accounts: moved })).toMatchObject({
      invariant: false,
    });
  });

  it('an account that vanished, and one that is there twice', () => {
    expect(checkLedger({ ...correct, accounts: accounts.slice(0, 2) })).toMatchObject({ invariant: false });
    expect(checkLedger({ ...correct, accounts: [...accounts, ...accounts] })).toMatchObject({ invariant: false });
  });

  it('an empty ledger after acknowledged transfers, with bounded details', () => {
    const many = Array.from({ length: 500 }, (_, i) => ({ id: `t${i}`, from: 'a', to: 'b', amount: 1 }));
    const verdict = checkLedger({ acknowledged: many, finalTransfers: [], accounts: [], initialSum: 300 });
    expect(verdict).toMatchObject({ lost: 500, invariant: false });
    expect(verdict.details).toHaveLength(50);
  });
});
