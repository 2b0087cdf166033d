import { epoch } from '@canopy/core';
import { expect, test } from 'vitest';
import { AppliedBoard } from '../../src/applied/board.ts';
import { type AppliedReport, decodeReport, encodeReport } from '../../src/applied/subjects.ts';

const log = { bucket: 'p_a_wal', createdAt: 1000 };
const report = (node: string, txid: number, fields: Partial<AppliedReport> & { of?: number } = {}): Uint8Array => {
  const { of = 3, ...given } = fields;
  return encodeReport({ ...log, node, position: { epoch: epoch(of), txid }, ...given });
};
const at = (txid: number) => ({ epoch: epoch(3), txid });

test('a report survives its way, and what is none is refused', () => {
  const sent = { ...log, node: 'b', position: at(255) };
  expect(decodeReport(encodeReport(sent))).toEqual(sent);
  for (const text of [
    '',
    'null',
    '[]',
    '{}',
    '{"node":"b","position":"3"}',
    '{"node":"","position":"3.00000000000000ff"}',
  ])
    expect(decodeReport(new TextEncoder().encode(text))).toBeUndefined();
});

test('counts distinct nodes that have the position', () => {
  const board = new AppliedBoard(log, { node: 'a', copy: '/a.db' });
  const mark = board.mark;
  for (const [node, txid] of [
    ['b', 9],
    ['b', 10],
    ['c', 9],
    ['d', 11],
  ] as const)
    board.hear(report(node, txid));
  expect(board.have(at(10), mark)).toEqual(['b', 'd']);
});

test('only what was said since the waiting began counts', () => {
  const board = new AppliedBoard(log, { node: 'a', copy: '/a.db' });
  board.hear(report('b', 10));
  expect(board.have(at(10), board.mark)).toEqual([]);
  const { mark } = board;
  board.hear(report('b', 10));
  expect(board.have(at(10), mark)).toEqual(['b']);
});

test('a copy that was made anew is where it says it is, not where it was', () => {
  const board = new AppliedBoard(log, { node: 'a', copy: '/a.db' });
  const { mark } = board;
  board.hear(report('b', 10));
  board.hear(report('b', 4));
  expect(board.have(at(10), mark)).toEqual([]);
  expect(board.describe()).toBe('b at 3.0000000000000004');
});

test('copies of one node are told apart by their files, also beside the primary; its own never counts', () => {
  const board = new AppliedBoard(log, { node: 'host', copy: '/a.db' });
  const { mark } = board;
  expect(board.hear(report('host', 10, { copy: '/a.db' }))).toBe(false);
  expect(board.hear(report('host', 10))).toBe(false);
  for (const copy of ['/b.db', '/c.db', '/b.db']) board.hear(report('host', 10, { copy }));
  board.hear(report('far', 10, { copy: '/a.db' }));
  expect(board.have(at(10), mark)).toEqual(['far', 'host (/b.db)', 'host (/c.db)']);
});

test('another epoch, another log, another log of the same name and ourselves do not count', () => {
  const board = new AppliedBoard(log, { node: 'a', copy: '/a.db' });
  const { mark } = board;
  const heard = [
    board.hear(report('b', 99, { of: 2 })),
    board.hear(report('c', 99, { of: 4 })),
    board.hear(report('d', 99, { bucket: 'p_b_wal' })),
    board.hear(report('e', 99, { createdAt: 2000 })),
    board.hear(report('a', 99)),
    board.hear(new Uint8Array(3)),
  ];
  expect(heard).toEqual([true, true, false, false, false, false]);
  expect(board.have(at(10), mark)).toEqual([]);
});

test('remembers a bounded number of nodes', () => {
  const board = new AppliedBoard(log, { node: 'a', copy: '/a.db' });
  const { mark } = board;
  for (let i = 0; i < 3000; i++) board.hear(report(`n${i}`, 10));
  const nodes = board.have(at(10), mark);
  expect(nodes).toHaveLength(1024);
  expect(nodes).toContain('n2999');
});
