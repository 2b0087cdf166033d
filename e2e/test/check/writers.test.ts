import { describe, expect, it } from 'vitest';
import { type Commit, checkWriters, type LeaseInterval, type WritersHistory } from '../../src/check/index.ts';

const leases: LeaseInterval[] = [
  { node: 'n1', epoch: 1, from: 0, to: 100 },
  { node: 'n2', epoch: 2, from: 150, to: 300 },
  { node: 'n1', epoch: 3, from: 300, to: undefined },
];
const commit = (node: string, at: number, id = `${node}-${at}`): Commit => ({ node, pid: 7, at, id });
const commits = [commit('n1', 0), commit('n1', 99), commit('n2', 150), commit('n2', 299), commit('n1', 5000)];
const correct: WritersHistory = { leases, commits };
const clean = {
  dualWriters: 0,
  overlaps: 0,
  orphanCommits: 0,
  divergent: 0,
  unleased: 0,
  epochsOutOfOrder: 0,
  divergentCommits: [],
  details: [],
};

describe('checkWriters accepts', () => {
  it('commits inside the own lease, one lease after the other', () => expect(checkWriters(correct)).toEqual(clean));

  it('leases in any order, and one term given in pieces', () => {
    const pieces = [...leases, { node: 'n1', epoch: 1, from: 20, to: 60 }].reverse();
    expect(checkWriters({ ...correct, leases: pieces })).toEqual(clean);
  });
});

describe('the time in which a holder is being fenced', () => {
  const fenced = leases.map((lease) => (lease.epoch === 1 ? { ...lease, fencedBy: 120 } : lease));

  it('still belongs to it', () => {
    expect(checkWriters({ leases: fenced, commits: [commit('n1', 115)] })).toEqual(clean);
    expect(checkWriters({ leases: fenced, commits: [commit('n1', 121)] })).toMatchObject({ unleased: 1 });
  });

  it('is nobody else’s', () =>
    expect(checkWriters({ leases: fenced, commits: [commit('n2', 115)] })).toMatchObject({ unleased: 1 }));
});

describe('checkWriters rejects', () => {
  it('leases that overlap, though nobody wrote', () => {
    const early = leases.map((lease) => (lease.epoch === 2 ? { ...lease, from: 99 } : lease));
    expect(checkWriters({ leases: early, commits: [] })).toMatchObject({ dualWriters: 1, overlaps: 1 });
  });

  it('a lease that never ended before the next one began', () => {
    const open = leases.map((lease) => (lease.epoch === 1 ? { ...lease, to: undefined } : lease));
    // It overlaps n2's; the last one is of its own node.
    expect(checkWriters({ leases: open, commits: [] })).toMatchObject({ dualWriters: 1, overlaps: 1 });
  });

  it("an orphan's commit under the next lease", () => {
    const verdict = checkWriters({ ...correct, commits: [...commits, commit('n1', 200)] });
    expect(verdict).toMatchObject({ dualWriters: 1, orphanCommits: 1, unleased: 0, divergent: 0 });
    expect(verdict.details[0]).toContain('n1-200');
  });

  it('a commit of a node that never held the lease', () =>
    expect(checkWriters({ ...correct, commits: [commit('n9', 50)] })).toMatchObject({ dualWriters: 1 }));

  it('a commit between the leases, apart from dual writers', () =>
    expect(checkWriters({ ...correct, commits: [commit('n1', 120)] })).toMatchObject({ dualWriters: 0, unleased: 1 }));

  it('an epoch that did not grow', () => {
    const stuck = leases.map((lease) => (lease.epoch === 2 ? { ...lease, epoch: 1 } : lease));
    expect(checkWriters({ leases: stuck, commits: [] })).toMatchObject({ epochsOutOfOrder: 1 });
  });
});

describe("a woken process's last breath", () => {
  const woken: WritersHistory = {
    leases,
    commits: [commit('n1', 205)],
    wakes: [{ node: 'n1', frozenAt: 50, wokenAt: 200 }],
    acknowledged: new Set(['other']),
    wakeGraceMs: 20,
  };

  it('is divergent, not a dual writer', () =>
    expect(checkWriters(woken)).toMatchObject({ dualWriters: 0, divergent: 1, orphanCommits: 0 }));

  it('is that also when the client had sent the transfer again and the next holder committed it', () =>
    expect(
      checkWriters({
        ...woken,
        commits: [commit('n2', 180, 'again'), commit('n1', 205, 'again')],
        acknowledged: new Set(['again']),
      }),
    ).toMatchObject({ dualWriters: 0, divergent: 1 }));

  it.each<[string, Partial<WritersHistory>]>([
    ['somebody saw it acknowledged', { acknowledged: new Set(['n1-205']) }],
    ['it is not known what was acknowledged', { acknowledged: undefined as never }],
    ['it came too long after the wake-up', { commits: [commit('n1', 221)] }],
    ['it came before the wake-up', { commits: [commit('n1', 199)] }],
    ['another node was woken', { wakes: [{ node: 'n2', frozenAt: 50, wokenAt: 200 }] }],
    ['it did not hold the lease when it froze', { wakes: [{ node: 'n1', frozenAt: 120, wokenAt: 200 }] }],
  ])('is a dual writer when %s', (_, change) =>
    expect(checkWriters({ ...woken, ...change })).toMatchObject({ dualWriters: 1, divergent: 0 }),
  );
});
