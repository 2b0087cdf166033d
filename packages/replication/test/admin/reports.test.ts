/** What is made of the answers of nodes: pure, and the same for the command and for programs. */
import { describe, expect, it } from 'vitest';
import type { FollowingStatus, MasterStatus } from '../../src/admin/managed-replica.ts';
import { compareClocks, offsetOf, rounded } from '../../src/admin/reports/clocks.ts';
import { mergeConflicts, mergeHot } from '../../src/admin/reports/conflicts.ts';
import { type NodeReport, statusReport } from '../../src/admin/reports/status.ts';

const NO_RECOVERY = { run: 0, state: 'none', mode: undefined, ms: 0, progress: undefined, error: undefined } as const;
const CAUGHT_UP = { phase: 'none', done: 0, total: 0, percent: 100, perSecond: undefined, leftMs: undefined } as const;

function following(nodeId: string, more: Partial<FollowingStatus> = {}): NodeReport {
  const status: FollowingStatus = {
    kind: 'leader-follower',
    nodeId,
    namespace: 'orders',
    role: 'follower',
    leaderId: 'n1',
    epoch: 3,
    appliedSequence: 1000,
    endSequence: 1000,
    lag: 0,
    ageMs: 100,
    isStale: false,
    recovery: CAUGHT_UP,
    followers: [],
    lastError: undefined,
    ...more,
  };
  return { node: nodeId, instance: nodeId, status, recovery: NO_RECOVERY };
}

function master(masterId: string, more: Partial<MasterStatus> = {}): NodeReport {
  const status: MasterStatus = {
    kind: 'master',
    masterId,
    durable: true,
    strategy: 'lww',
    eventsApplied: 100,
    waiting: 0,
    unsent: 0,
    rejected: 0,
    conflictsDetected: 0,
    pendingConflicts: 0,
    conflictRate: 0,
    vectorClock: {},
    lastError: undefined,
    ...more,
  };
  return { node: masterId, instance: masterId, status, recovery: NO_RECOVERY };
}

const report = (nodes: readonly NodeReport[], silent: readonly string[] = []) =>
  statusReport({ namespace: 'orders', nodes, failures: [], silent });
const codes = (nodes: readonly NodeReport[]) => report(nodes).findings.map(({ code, node }) => [code, node]);

describe('the status of a namespace', () => {
  it('finds nothing where nothing is wrong', () => {
    expect(codes([following('n1', { role: 'leader' }), following('n2'), master('m1')])).toEqual([]);
  });

  it('a stale and a lagging follower, by the end that the others know of', () => {
    const recovery = { phase: 'log', done: 1, total: 9, percent: 11, perSecond: 50, leftMs: 10_000 } as const;
    const behind = following('n2', { appliedSequence: 500, endSequence: 500, isStale: true, ageMs: 90_000, recovery });
    const { findings, lag } = report([following('n1', { role: 'leader' }), behind]);
    expect(lag).toMatchObject([
      { node: 'n1', role: 'leader', behind: 0, ageMs: undefined },
      { node: 'n2', role: 'follower', behind: 500, isStale: true, perSecond: 50, leftMs: 10_000 },
    ]);
    expect(findings.map(({ code }) => code)).toEqual(['stale', 'lagging']);
    expect(findings[0]?.message).toContain('1m30s ago');
    expect(findings[1]?.message).toBe('500 events behind, 10s left at its present rate');
  });

  it('two leaders: the greater epoch wins, whatever the sequences; under one epoch nobody does', () => {
    const old = following('n1', { role: 'leader', epoch: 3, appliedSequence: 9000, endSequence: 9000 });
    const now = following('n2', { role: 'leader', epoch: 4, appliedSequence: 10 });
    const { splitBrain, findings } = report([old, now]);
    expect(splitBrain).toMatchObject({ splitBrain: true, winner: 'n2' });
    expect(findings[0]?.message).toBe('2 nodes lead: n2 wins by its epoch, 4; n1 (epoch 3) should be demoted');
    const tie = report([old, following('n3', { role: 'leader', epoch: 3 })]).findings[0];
    expect(tie?.message).toContain('under one epoch, 3: nothing tells whose writes count');
  });

  it('nobody leads, somebody is silent, two run under one name, one has failed', () => {
    const twin = { ...following('n2'), instance: 'other' };
    const { findings } = report([following('n2', { lastError: 'apply: no room' }), twin], ['n9']);
    expect(findings.map(({ code, node }) => [code, node])).toEqual([
      ['no_leader', undefined],
      ['silent', 'n9'],
      ['same_name', 'n2'],
      ['failed', 'n2'],
    ]);
    // A master and a subscriber of one program may bear its name.
    const subscriber = { kind: 'subscriber', eventsProcessed: 0, topics: [] } as const;
    expect(codes([master('a'), { ...master('a'), status: subscriber }])).toEqual([]);
  });

  it('a conflict storm is more than a tenth of the events, not the first conflict', () => {
    expect(codes([master('a', { conflictRate: 0.11, eventsApplied: 100 })])).toEqual([['conflict_storm', 'a']]);
    expect(codes([master('a', { conflictRate: 0.1, eventsApplied: 100 })])).toEqual([]);
    expect(codes([master('a', { conflictRate: 0.5, eventsApplied: 2 })])).toEqual([]);
  });

  it('masters are behind by what anybody has seen of any author', () => {
    const { lag } = report([
      master('a', { vectorClock: { a: 10, b: 2 }, unsent: 4 }),
      master('b', { vectorClock: { a: 7, b: 5, gone: 1 } }),
    ]);
    expect(lag).toMatchObject([
      { node: 'a', position: 12, behind: 4, unsent: 4 },
      { node: 'b', position: 13, behind: 3 },
    ]);
  });

  it('masters that wait, hold, can not send, or settle conflicts differently', () => {
    expect(codes([master('a', { pendingConflicts: 1 })])).toEqual([['conflicts_pending', 'a']]);
    expect(codes([master('a', { unsent: 101 })])).toEqual([['unsent', 'a']]);
    expect(codes([master('a', { waiting: 1, rejected: 1 })])).toEqual([['rejected_events', 'a']]);
    expect(codes([master('a', { waiting: 101 })])).toEqual([['lagging', 'a']]);
    expect(codes([master('a'), master('b', { strategy: 'crdt' })])).toEqual([['strategies_differ', undefined]]);
  });
});

describe('conflicts of several masters', () => {
  const side = (masterId: string) => ({ masterId, data: {}, vectorClock: { [masterId]: 1 }, timestamp: 1 });
  const conflict = (entityId: string, pending: boolean, ...masters: string[]) => ({
    entityId,
    detectedAt: 5,
    versions: masters.map(side),
    pending,
  });

  it('are one each, as the master knows it that has most versions, those that wait first', () => {
    const merged = mergeConflicts([
      { node: 'a', conflicts: [conflict('x', false, 'a', 'b'), conflict('y', false, 'a', 'b')] },
      { node: 'b', conflicts: [conflict('y', true, 'a', 'b', 'c')] },
    ]);
    expect(merged.map(({ entityId, on, pendingOn }) => [entityId, on, pendingOn])).toEqual([
      ['y', ['a', 'b'], ['b']],
      ['x', ['a'], []],
    ]);
    expect(merged[0]?.versions).toHaveLength(3);
  });

  it('counts of one entity are not added: each master counts the same conflicts', () => {
    const { status } = master('a', { conflictsDetected: 30, conflictRate: 0.3 }) as { status: MasterStatus };
    const { entities, masters } = mergeHot(
      [
        { node: 'a', status, hot: [{ entityId: 'x', conflicts: 9, atMost: 0 }] },
        {
          node: 'b',
          status,
          hot: [
            { entityId: 'y', conflicts: 4, atMost: 0 },
            { entityId: 'x', conflicts: 7, atMost: 0 },
          ],
        },
      ],
      1,
    );
    expect(entities).toEqual([{ entityId: 'x', conflicts: 9, atMost: 0, node: 'a' }]);
    expect(masters[0]).toMatchObject({ node: 'a', conflicts: 30, rate: 0.3, isStorm: true });
  });
});

describe('clocks', () => {
  it('the offset is known to half the shortest way, however uneven the ways are', () => {
    for (const trueOffset of [-90_000, -3, 0, 7, 61_234])
      for (const [there, back] of [
        [0, 40],
        [40, 0],
        [20, 20],
        [1, 2],
      ] as const) {
        const heard = 1000 + there + trueOffset;
        const samples = [
          { asked: 1000, heard, answered: heard + 5, received: 1000 + there + 5 + back },
          { asked: 0, heard: trueOffset, answered: trueOffset, received: 900 },
        ];
        const offset = offsetOf(samples);
        expect(Math.abs((offset?.offsetMs ?? NaN) - trueOffset)).toBeLessThanOrEqual(offset?.boundMs ?? 0);
        expect(offset?.boundMs).toBeLessThanOrEqual(there + back + 4);
      }
    expect(offsetOf([])).toBeUndefined();
  });

  it('nothing is stated finer than it is known', () => {
    expect(rounded(1234, 40)).toEqual({ offsetMs: 1250, boundMs: 56 });
    expect(rounded(-3, 40)).toEqual({ offsetMs: 0, boundMs: 43 });
    expect(rounded(12, 0.4)).toEqual({ offsetMs: 12, boundMs: 1 });
    expect(rounded(61_234, 700)).toEqual({ offsetMs: 61_000, boundMs: 934 });
  });

  const node = (name: string, offset: number, roundTrip = 2) => ({
    node: name,
    samples: [{ asked: 0, heard: offset + roundTrip / 2, answered: offset + roundTrip / 2, received: roundTrip }],
    clock: undefined,
  });

  it('a drift is told against the others and only beyond what is known', () => {
    const far = compareClocks([node('a', 0), node('b', 100), node('c', 70_000)]);
    expect(far.findings.map((one) => [one.code, one.node])).toEqual([['clock_drift', 'c']]);
    expect(far.rows.map(({ driftMs }) => Math.abs(Math.round(driftMs / 1000)))).toEqual([0, 0, 70]);
    expect(compareClocks([node('a', 0), node('b', 0), node('c', 59_000)]).findings).toEqual([]);
    // Beyond 60 s, but not for sure.
    expect(compareClocks([node('a', 0), node('b', 0), node('c', 65_000, 20_000)]).findings).toEqual([]);
  });

  it("when all nodes are off it is this machine's clock; a master's refusals are told", () => {
    const { findings } = compareClocks([node('a', 90_000), node('b', 90_000)]);
    expect(findings.map(({ code, node: name }) => [code, name])).toEqual([['own_clock', undefined]]);
    const self = { nodeId: 'a', last: undefined, aheadMs: 61_000, rejected: 2, rejectedAheadMs: 75_000 };
    const one = compareClocks([{ ...node('a', 0), clock: { self, members: [] } }]);
    expect(one.findings.map(({ code }) => code)).toEqual(['clock_ahead', 'timestamps_rejected']);
    expect(one.rows[0]).toMatchObject({ driftMs: 0, driftBoundMs: 0, aheadMs: 61_000, rejected: 2 });
  });
});
