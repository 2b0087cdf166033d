import { join } from 'node:path';
import { temporaryDirectory } from '@canopy/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type CommitFault, MemoryStore, SqliteStore } from '../../src/index.ts';
import { codeOf } from '../code-of.ts';
import { describeAtomicStoreContract } from './atomic-store.contract.ts';

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let files = 0;
beforeAll(async () => {
  directory = await temporaryDirectory('stores');
});
afterAll(() => directory.remove());

describeAtomicStoreContract('memory', {
  open: () => new MemoryStore(),
  reopen: (store) => (store as MemoryStore).crash(),
});

describeAtomicStoreContract('SQLite', {
  open: () => SqliteStore.open({ path: join(directory.path, `${files++}.db`), durability: 'process' }),
  reopen: (store) => {
    store.close();
    return SqliteStore.open({ path: (store as SqliteStore).path, durability: 'full' });
  },
});

test('a store in memory fails where it is told to', () => {
  let fault: CommitFault | undefined;
  const store = new MemoryStore({ fault: () => fault });
  const commit = (value: number): string | undefined => codeOf(() => store.commit([{ space: 's', key: 'k', value }]));
  expect(commit(1)).toBeUndefined();
  fault = 'failed';
  expect(commit(2)).toBe('STATE_STORE_FAILED');
  fault = 'full';
  expect(commit(2)).toBe('STATE_STORE_FULL');
  expect(store.get('s', 'k')).toBe(1);
  fault = 'crash-before';
  expect(commit(2)).toBe('STATE_STORE_CLOSED');
  expect(codeOf(() => store.get('s', 'k'))).toBe('STATE_STORE_CLOSED');
  const next = store.crash({ fault: () => 'crash-after' });
  expect(next.get('s', 'k')).toBe(1);
  expect(codeOf(() => next.commit([{ space: 's', key: 'k', value: 3 }]))).toBe('STATE_STORE_CLOSED');
  expect(next.crash().get('s', 'k')).toBe(3);
});

test('what a store in memory leaves at its death may be opened twice, each with a life of its own', () => {
  const store = new MemoryStore();
  const put = (to: MemoryStore, value: number): void => to.commit([{ space: 's', key: 'k', value }]);
  put(store, 1);
  const [one, two] = [store.crash(), store.crash()];
  put(one, 2);
  expect([one.get('s', 'k'), two.get('s', 'k')]).toEqual([2, 1]);
});
