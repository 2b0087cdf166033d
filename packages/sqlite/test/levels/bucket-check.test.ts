import { expect, test } from 'vitest';
import { checkBucket } from '../../src/levels/bucket-check.ts';

const GOOD = {
  bucket: 'b',
  replicas: 3,
  createdAt: 0,
  now: 0,
  bytes: 10,
  maxBytes: undefined,
  discard: 'new',
  clusterSize: 3,
} as const;
const codes = (changes: object): string[] => checkBucket({ ...GOOD, ...changes }).map(({ code }) => code);

test('a bucket of three copies without limits is fine', () => {
  expect(codes({})).toEqual([]);
  expect(codes({ maxBytes: 100 })).toEqual([]);
});

test('what is wrong, worst first', () => {
  expect(codes({ maxAgeMs: 1000 })).toEqual(['LOG_EXPIRES']);
  expect(codes({ discard: 'old' })).toEqual([]);
  expect(codes({ discard: 'old', maxBytes: 100 })).toEqual(['LOG_DISCARDS_OLD']);
  expect(codes({ discard: 'old', maxMessages: 100, messages: 80 })).toEqual(['LOG_DISCARDS_OLD', 'LOG_NEARLY_FULL']);
  expect(codes({ bytes: 80, maxBytes: 100, replicas: 1 })).toEqual(['LOG_NEARLY_FULL', 'LOG_NOT_REPLICATED']);
});

test('the advice goes with the cluster that is there', () => {
  expect(checkBucket({ ...GOOD, replicas: 1 })[0]?.hint).toBe('nats stream edit OBJ_b --replicas=3');
  expect(checkBucket({ ...GOOD, replicas: 1, clusterSize: 1 })[0]?.hint).toContain('cluster of three servers');
});
