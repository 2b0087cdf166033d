/** What people read of replicated state, and how a decision is taken from the command line. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasCode } from '@canopy/core';
import type { ClockComparisonReport, ReplicationStatus } from '@canopy/replication';
import { describe, expect, it } from 'vitest';
import { clockText, offsetText } from '../../src/replicas/clock-report.ts';
import { decisionOf, hotText, listText, type ResolveOptions } from '../../src/replicas/conflicts.ts';
import { progressText, reportText } from '../../src/replicas/recover.ts';
import { lagText, statusText } from '../../src/replicas/status.ts';

const CAUGHT_UP = { phase: 'none', done: 0, total: 0, percent: 100, perSecond: undefined, leftMs: undefined } as const;
const BEHIND = { phase: 'snapshot', done: 801, total: 1204, percent: 66.5, perSecond: 1200, leftMs: 3100 } as const;
const NO_RECOVERY = { run: 0, state: 'none', mode: undefined, ms: 0, progress: undefined, error: undefined } as const;
const ROW = {
  topic: undefined,
  ageMs: undefined,
  isStale: false,
  perSecond: undefined,
  leftMs: undefined,
  unsent: undefined,
};

function following(
  nodeId: string,
  role: 'leader' | 'follower',
  recovery: typeof CAUGHT_UP | typeof BEHIND = CAUGHT_UP,
) {
  const positions = { epoch: 4, appliedSequence: 801, endSequence: 1204, lag: 0, ageMs: 0, isStale: false };
  const rest = { namespace: 'orders', leaderId: 'n1', followers: [], lastError: undefined };
  const status = { kind: 'leader-follower', nodeId, role, recovery, ...positions, ...rest } as const;
  return { node: nodeId, instance: nodeId, status, recovery: NO_RECOVERY };
}

const STATUS: ReplicationStatus = {
  namespace: 'orders',
  nodes: [following('n1', 'leader'), following('n2', 'follower', BEHIND)],
  failures: [],
  silent: ['n3'],
  splitBrain: {
    splitBrain: false,
    winner: 'n1',
    leaders: [{ nodeId: 'n1', epoch: 4, sequence: 801, followers: [], shouldDemote: false }],
  },
  lag: [
    { ...ROW, node: 'n1', role: 'leader', position: 1204, behind: 0 },
    { ...ROW, node: 'n2', role: 'follower', position: 801, behind: 403, ageMs: 41_000, isStale: true },
  ],
  findings: [{ code: 'silent', node: 'n3', message: 'others know of it, and it does not answer' }],
};

describe('status and lag', () => {
  it('one line a node, unknown is "-", what needs a look at the end', () => {
    expect(statusText(STATUS).split('\n')).toEqual([
      'namespace orders: 2 nodes answer, n1 leads under epoch 4',
      '',
      'NODE  ROLE      EPOCH  FOLLOWS  APPLIED  BEHIND  UP TO DATE  STATE',
      'n1    leader    4      -        801      0       -           ok',
      'n2    follower  4      n1       801      403     41s         stale, snapshot 66 % (801 of 1204), 1200/s, 3.1s left',
      '',
      '! n3: others know of it, and it does not answer',
    ]);
  });

  it('a split brain shows in the first line', () => {
    const splitBrain = { ...STATUS.splitBrain, splitBrain: true };
    expect(statusText({ ...STATUS, splitBrain }).split('\n')[0]).toBe('namespace orders: 2 nodes answer, SPLIT BRAIN');
  });

  it('masters and subscribers have tables of their own', () => {
    const master = {
      kind: 'master',
      masterId: 'eu',
      durable: true,
      strategy: 'lww',
      eventsApplied: 100,
      waiting: 1,
      unsent: 2,
      rejected: 0,
      conflictsDetected: 12,
      pendingConflicts: 3,
      conflictRate: 0.12,
      vectorClock: {},
      lastError: undefined,
    } as const;
    const nodes = [
      { node: 'eu', instance: '1', status: master, recovery: NO_RECOVERY },
      {
        node: 'r',
        instance: '2',
        status: { kind: 'subscriber', eventsProcessed: 0, topics: [] },
        recovery: NO_RECOVERY,
      },
    ] as const;
    const subscriber = {
      ...ROW,
      node: 'r',
      role: 'subscriber',
      topic: 'paid',
      position: 8,
      behind: undefined,
    } as const;
    const lag = [{ ...ROW, node: 'eu', role: 'master', position: 100, behind: 4, unsent: 2 } as const, subscriber];
    const splitBrain = { splitBrain: false, winner: undefined, leaders: [] };
    const text = statusText({ ...STATUS, nodes, lag, splitBrain, findings: [] });
    expect(text).toMatch(/eu +lww +100 +4 +1 +2 +12 +12.0% +3$/m);
    expect(text).toMatch(/r +paid +8 +- +- +-$/m);
  });

  it('lag shows rate and time left', () => {
    const row = {
      ...ROW,
      node: 'n2',
      role: 'follower',
      position: 5,
      behind: 9,
      ageMs: 1500,
      perSecond: 2.25,
      leftMs: 4000,
    } as const;
    expect(lagText([row], []).split('\n')[1]).toMatch(/^n2 +follower +- +5 +9 +1.5s ago +2.3\/s +4s$/);
  });
});

describe('recovery', () => {
  it('percent never reads 100 before it is', () => {
    expect(progressText({ ...BEHIND, percent: 99.99 })).toContain('snapshot 99 %');
  });

  it('says when it can not be told how far it is', () => {
    const report = { ...NO_RECOVERY, run: 1, state: 'running', mode: 'rebuild', ms: 2000 } as const;
    expect(reportText(report)).toBe('rebuilding for 2s: how far can not be told');
    expect(reportText({ ...report, progress: CAUGHT_UP })).toContain('can not be told');
  });
});

describe('conflicts', () => {
  const decide = (options: Partial<ResolveOptions>): unknown => {
    try {
      return decisionOf(options as ResolveOptions);
    } catch (error) {
      return hasCode(error, 'USAGE') ? error.message : error;
    }
  };

  it('a decision is data, a file, a version or a deletion: one of them', () => {
    const file = join(mkdtempSync(join(tmpdir(), 'canopy-')), 'cart.json');
    writeFileSync(file, '{"items":[1]}');
    expect(decide({ data: '{"a":1}' })).toEqual({ data: { a: 1 } });
    expect(decide({ file })).toEqual({ data: { items: [1] } });
    expect(decide({ pick: 'eu' })).toEqual({ pick: 'eu' });
    expect(decide({ delete: true })).toEqual({ data: null });
    expect(decide({})).toContain('give one of');
    expect(decide({ data: '{}', delete: true })).toContain('give one of');
    expect(decide({ data: '{' })).toContain('can not be read as JSON');
    expect(decide({ file: `${file}.not` })).toContain('ENOENT');
    for (const data of ['[]', 'null', '"x"', '3']) expect(decide({ data })).toContain('must be a JSON object');
  });

  it('lists say where there is more, and who is silent', () => {
    expect(listText({ namespace: 'c', conflicts: [], more: { eu: 7 }, silent: ['us'] }, 10).split('\n')).toEqual([
      'no conflicts',
      '',
      'eu has 7 more: give --limit, or an entity',
      '',
      '! us: others know of it, and it does not answer: this may be incomplete',
    ]);
  });

  it('a count that may be too high is a range', () => {
    const masters = [{ node: 'eu', conflicts: 1, eventsApplied: 100, rate: 0.01, isStorm: false }];
    const entities = [{ entityId: 'x', conflicts: 9, atMost: 2, node: 'eu' }];
    expect(hotText({ namespace: 'c', masters, entities, silent: [] })).toMatch(/^x +7 to 9 +eu$/m);
  });
});

describe('clocks', () => {
  it('an offset within its bound is told as none that can be seen', () => {
    expect(offsetText(0, 43)).toBe('within ±43ms');
    expect(offsetText(40, 43)).toBe('within ±83ms');
    expect(offsetText(1250, 56)).toBe('+1.25s ±56ms');
    expect(offsetText(-70_000, 2000)).toBe('-70s ±2s');
  });

  it('a node alone has nobody to be compared with', () => {
    const row = { node: 'eu', offsetMs: 0, boundMs: 2, driftMs: 0, driftBoundMs: 0, roundTripMs: 2 };
    const unknown = { aheadMs: undefined, rejected: undefined, rejectedAheadMs: undefined };
    const report: ClockComparisonReport = { namespace: 'c', rows: [{ ...row, ...unknown }], findings: [], silent: [] };
    expect(clockText(report).split('\n')[1]).toMatch(/^eu +within ±2ms +- +2ms +- +-$/);
  });
});
