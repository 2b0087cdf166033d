/** The examples of the guide, as a program would have them. */
import { expect, it } from 'vitest';
import {
  ConflictResolver,
  CRDTMergeStrategy,
  CustomResolverStrategy,
  FieldMergeStrategy,
  GCounter,
  LastWriteWinsStrategy,
  PNCounter,
  VersionVectorStrategy,
} from '../../src/conflict/index.ts';

it('last write wins', () => {
  const resolver = new ConflictResolver(new LastWriteWinsStrategy());
  const result = resolver.resolve(
    { value: { name: 'Alice' }, timestamp: 1000, nodeId: 'node-1' },
    { value: { name: 'Bob' }, timestamp: 2000, nodeId: 'node-2' },
  );
  expect(result).toEqual({ value: { name: 'Bob' }, timestamp: 2000, nodeId: 'node-2', resolution: 'remote' });
  const tied = resolver.resolve(
    { value: 'A', timestamp: 1000, nodeId: 'node-1' },
    { value: 'B', timestamp: 1000, nodeId: 'node-2' },
  );
  expect(tied.value).toBe('B');
});

it('version vectors', () => {
  const resolver = new ConflictResolver(new VersionVectorStrategy());
  const at = (A: number, B: number) => ({ vectorClock: { entries: { A, B } } });
  const result = resolver.resolve(
    { value: { v: 1 }, timestamp: 1000, nodeId: 'A', ...at(1, 0) },
    { value: { v: 2 }, timestamp: 2000, nodeId: 'B', ...at(1, 1) },
  );
  expect([result.resolution, result.value, result.conflicts]).toEqual(['remote', { v: 2 }, undefined]);
  const versions = [
    { value: { v: 1 }, timestamp: 1000, nodeId: 'A', ...at(1, 0) },
    { value: { v: 2 }, timestamp: 1000, nodeId: 'B', ...at(0, 1) },
  ] as const;
  const concurrent = resolver.resolve(...versions);
  expect(concurrent.resolution).toBe('merged');
  expect(concurrent.conflicts).toEqual(versions);
  expect(concurrent.vectorClock).toEqual({ entries: { A: 1, B: 1 } });
});

it('field merge', () => {
  const resolver = new ConflictResolver(new FieldMergeStrategy());
  const result = resolver.resolve(
    { value: { name: 'Alice', email: 'alice@old.com', age: 30 }, timestamp: 1000, nodeId: 'A' },
    { value: { name: 'Alice Smith', phone: '555-1234' }, timestamp: 2000, nodeId: 'B' },
  );
  expect(result.value).toEqual({ name: 'Alice Smith', email: 'alice@old.com', age: 30, phone: '555-1234' });
  expect(result).toMatchObject({ timestamp: 2000, nodeId: 'B', resolution: 'merged' });
});

it('CRDT merge', () => {
  const resolver = new ConflictResolver(new CRDTMergeStrategy());
  const result = resolver.resolve(
    {
      value: {
        views: GCounter.fromJSON({ 'node-a': 100 }),
        likes: PNCounter.fromJSON({ positive: { 'node-a': 50 }, negative: {} }),
        title: 'Original Title',
      },
      timestamp: 1000,
      nodeId: 'A',
    },
    {
      value: {
        views: GCounter.fromJSON({ 'node-b': 75 }),
        likes: PNCounter.fromJSON({ positive: { 'node-b': 30 }, negative: {} }),
        title: 'Updated Title',
      },
      timestamp: 2000,
      nodeId: 'B',
    },
  );
  expect([result.value.views.value(), result.value.likes.value(), result.value.title]).toEqual([
    175,
    80,
    'Updated Title',
  ]);
});

it('a function of its own', () => {
  const resolver = new ConflictResolver(
    new CustomResolverStrategy((local, remote) => {
      const localItems = local.value.items || [];
      const remoteItems = remote.value.items || [];
      const merged = new Map<string, number>();
      for (const item of localItems) merged.set(item.id, (merged.get(item.id) || 0) + item.qty);
      for (const item of remoteItems) merged.set(item.id, (merged.get(item.id) || 0) + item.qty);
      return {
        value: { items: Array.from(merged.entries()).map(([id, qty]) => ({ id, qty })) },
        timestamp: Math.max(local.timestamp, remote.timestamp),
        nodeId: remote.nodeId,
        resolution: 'merged',
      };
    }),
  );
  const result = resolver.resolve(
    { value: { items: [{ id: 'x', qty: 1 }] }, timestamp: 1, nodeId: 'A' },
    {
      value: {
        items: [
          { id: 'x', qty: 2 },
          { id: 'y', qty: 1 },
        ],
      },
      timestamp: 2,
      nodeId: 'B',
    },
  );
  expect(result.value.items).toEqual([
    { id: 'x', qty: 3 },
    { id: 'y', qty: 1 },
  ]);
});
