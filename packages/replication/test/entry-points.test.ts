/** What each door of the package gives, through the package's own name, as its users get it. */
import { expect, it } from 'vitest';

const CONFLICT_RESOLVER = [
  'CRDTMergeStrategy',
  'ConflictResolver',
  'CustomResolverStrategy',
  'EnableWinsFlag',
  'FieldMergeStrategy',
  'GCounter',
  'GSet',
  'LWWMap',
  'LWWRegister',
  'LastWriteWinsStrategy',
  'MERGEABLE',
  'MVRegister',
  'ORSet',
  'PNCounter',
  'VersionVectorStrategy',
  'isMergeable',
  'writeFields',
];

it('the doors lead to the same classes, and the main one has no documents of other libraries', async () => {
  const main: Record<string, unknown> = await import('@canopy/replication');
  const resolver: Record<string, unknown> = await import('@canopy/replication/conflict-resolver');
  expect(Object.keys(resolver).sort()).toEqual(CONFLICT_RESOLVER);
  for (const name of CONFLICT_RESOLVER) expect(resolver[name], name).toBe(main[name]);
  const subscriber: Record<string, unknown> = await import('@canopy/replication/event-subscriber');
  expect(Object.keys(subscriber)).toEqual(expect.arrayContaining(['EventSubscriber', 'MemoryPipelineSource']));
  for (const name of Object.keys(subscriber)) expect(subscriber[name], name).toBe(main[name]);
  const masters: Record<string, unknown> = await import('@canopy/replication/multi-master');
  expect(Object.keys(masters).sort()).toEqual(['MultiMasterManager', 'VectorClock']);
  for (const [name, value] of Object.entries(masters)) expect(value, name).toBe(main[name]);
  expect(Object.keys(main)).toEqual(expect.arrayContaining(['VectorClock', 'HybridClock', 'replicationErrors']));
  expect(Object.keys(main).filter((name) => /yjs|automerge/i.test(name))).toEqual([]);
  const leaders: Record<string, unknown> = await import('@canopy/replication/leader-follower');
  for (const name of ['LeaderFollowerManager', 'ReadRouter', 'ReplicationRole', 'SessionConsistentClient'])
    expect(leaders[name], name).toBeDefined();
  for (const name of Object.keys(leaders)) expect(leaders[name], name).toBe(main[name]);
  expect(Object.keys(await import('@canopy/replication/yjs'))).toEqual(['YjsDocument']);
  expect(Object.keys(await import('@canopy/replication/automerge'))).toEqual(['AutomergeDocument']);
});
