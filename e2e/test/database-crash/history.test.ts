/** The checks of the database campaign are fed what they must refuse. */
import { expect, test } from 'vitest';
import {
  brokenChain,
  brokenMarks,
  droppedMarks,
  leftOver,
  lostMarks,
  tornReads,
} from '../../src/database-crash/history.ts';

const marks = (last: number, count = last) => new Map([['w', { count, last }]]);

test('an acknowledged row that is not there is lost', () => {
  const acknowledged = new Map([['w', 7]]);
  expect(lostMarks(acknowledged, marks(7), 'x')).toEqual([]);
  expect(lostMarks(acknowledged, marks(9), 'x')).toEqual([]);
  expect(lostMarks(acknowledged, marks(6), 'x')).toHaveLength(1);
  expect(lostMarks(acknowledged, new Map(), 'x')).toHaveLength(1);
  expect(lostMarks(acknowledged, marks(9, 8), 'x'), 'a row in the middle').toHaveLength(1);
});

test('a row that is there twice, or missing between others, is seen', () => {
  expect(brokenMarks(marks(5), 'x')).toEqual([]);
  expect(brokenMarks(marks(5, 6), 'x')).toHaveLength(1);
  expect(brokenMarks(marks(5, 4), 'x')).toHaveLength(1);
});

test('commits that are neither in the log nor kept aside were dropped', () => {
  const committed = new Map([['w', 9]]);
  expect(droppedMarks(committed, marks(9), [])).toEqual([]);
  expect(droppedMarks(committed, marks(5), [marks(9)])).toEqual([]);
  expect(droppedMarks(committed, marks(5), [marks(8)])).toHaveLength(1);
  expect(droppedMarks(committed, marks(5), [])).toHaveLength(1);
});

test('a log with a hole, a repetition or an epoch that falls is refused', () => {
  const entry = (minTxid: number, epoch: number, maxTxid = minTxid) => ({ minTxid, maxTxid, epoch });
  expect(brokenChain([entry(3, 1), entry(4, 1), entry(5, 4)])).toEqual([]);
  expect(brokenChain([entry(3, 1), entry(5, 1)])).toHaveLength(1);
  expect(brokenChain([entry(3, 1), entry(3, 1)])).toHaveLength(1);
  expect(brokenChain([entry(3, 2), entry(4, 1)])).toHaveLength(1);
});

test('only what stands alone before a log that has all the rest elsewhere is left over; a hole is a hole', () => {
  const entry = (minTxid: number, maxTxid = minTxid) => ({ minTxid, maxTxid, epoch: 1 });
  const log = [entry(1381), entry(1448), entry(1449)];
  expect(brokenChain(log)).toHaveLength(1);
  expect(leftOver(log, [entry(1300, 1400), entry(1401, 1450)])?.maxTxid).toBe(1381);
  expect(leftOver(log, [entry(1, 1447)])?.maxTxid).toBe(1381);
  expect(leftOver(log, []), 'nothing has what is missing').toBeUndefined();
  expect(leftOver(log, [entry(1300, 1400), entry(1402, 1450)]), 'one is missing').toBeUndefined();
  expect(leftOver(log, [entry(1, 1446)]), 'the last is missing').toBeUndefined();
  expect(leftOver(log, [entry(1382, 1450)]), 'it is not covered itself').toBeUndefined();
  expect(leftOver([entry(1380), ...log], [entry(1, 1447)]), 'not alone').toBeUndefined();
  expect(leftOver([entry(1447), entry(1448), entry(1450)], [entry(1, 1450)]), 'a hole further on').toBeUndefined();
  expect(brokenChain([entry(1381), entry(1448), entry(1450)].slice(1)), 'a hole besides').toHaveLength(1);
});

test('a torn read is found in what a reader says', () => {
  expect(tornReads('CHECKS 12\n')).toEqual([]);
  expect(tornReads('TORN {"marks":3} quick_check ok\nCHECKS 12\n')).toHaveLength(1);
});
