import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  checkName,
  comparePositions,
  describeConnection,
  epoch,
  formatDuration,
  formatPosition,
  formatTxid,
  nameProblem,
  parseDuration,
  parsePosition,
  parseTxid,
} from '../../src/index.ts';

describe('positions', () => {
  it('print and parse to the same value', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (e, txid) => {
        const position = { epoch: epoch(e), txid };
        expect(parsePosition(formatPosition(position))).toEqual(position);
        expect(parseTxid(formatTxid(txid))).toBe(txid);
      }),
    );
  });
  it('sort as text within one epoch as they do as numbers', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.maxSafeNat(), (a, b) => {
        expect(Math.sign(comparePositions({ epoch: epoch(1), txid: a }, { epoch: epoch(1), txid: b }))).toBe(
          formatTxid(a) < formatTxid(b) ? -1 : formatTxid(a) > formatTxid(b) ? 1 : 0,
        );
      }),
    );
  });
  it.each(['', '1', '.0000000000000001', 'x.0000000000000001', '-1.0000000000000001', '1.1', '1.ffffffffffffffff'])(
    'refuses %j',
    (text) => expect(parsePosition(text)).toBeUndefined(),
  );
  it('refuses an epoch that is not a whole number', () => {
    expect(() => epoch(1.5)).toThrow(/whole number/);
    expect(() => epoch(-1)).toThrow(/whole number/);
  });
});

describe('durations', () => {
  it.each([
    ['250ms', 250],
    ['1.5s', 1500],
    ['2 m', 120_000],
    ['1h', 3_600_000],
    ['1d', 86_400_000],
    [42, 42],
  ])('%j is %d ms', (text, ms) => expect(parseDuration(text)).toBe(ms));
  it.each(['', '10', '-1s', '1 week', Number.NaN, -5, null, undefined, {}])('%j is none', (value) =>
    expect(parseDuration(value)).toBeUndefined(),
  );
  it('prints for people', () => {
    expect([12, 3210, 70_000, 7_500_000, 90_000_000].map(formatDuration)).toEqual([
      '12ms',
      '3.2s',
      '1m10s',
      '2h5m',
      '1d1h',
    ]);
  });
});

describe('names', () => {
  it.each(['a', 'prod', 'prod-eu', 'A1', 'x'.repeat(63)])('%j may be a platform', (name) =>
    expect(checkName('platform', name)).toBe(name),
  );
  it.each([
    ['', 'empty'],
    ['-a', 'begin'],
    ['a.b', '"."'],
    ['a b', '" "'],
    ['a>b', '">"'],
    ['a*', '"*"'],
    ['x'.repeat(64), '63'],
    ['a_b', '"_"'],
    [undefined, 'empty'],
  ])('%j may not', (name, problem) => {
    expect(nameProblem('platform', name)).toContain(problem);
    expect(() => checkName('platform', name)).toThrow(expect.objectContaining({ code: 'NAME_INVALID' }));
  });
  it('keeps the reserved words from apps only', () => {
    expect(nameProblem('app', 'election')).toContain('reserved');
    expect(nameProblem('node', 'election')).toBeUndefined();
    expect(nameProblem('node', 'n_1')).toBeUndefined();
  });
});

it('a connection is described without its secrets', () => {
  expect(describeConnection({ servers: ['nats://joe:secret@h:4222', 'nats://h2:4222'] })).toBe(
    'nats://h:4222, nats://h2:4222',
  );
});
