/**
 * Did two instances ever write at the same time? Pure: who held the lease when, who committed when, all on one machine's
 * monotonic clock. A commit counts against the lease intervals of its own node; outside of them it is an orphan's.
 */
export interface LeaseInterval {
  readonly node: string;
  readonly epoch: number;
  /** Monotonic ms from which the holder may write. */
  readonly from: number;
  /** Until when it may (given up, or the deadline passed); undefined where it still holds. */
  readonly to: number | undefined;
  /**
   * Until when its processes must have been ended: the earliest time at which another may hold the lease. Default `to`.
   * What they commit between the two is as harmless as before.
   */
  readonly fencedBy?: number | undefined;
}

export interface Commit {
  readonly node: string;
  /** The process that committed. */
  readonly pid: number;
  /** Monotonic ms, right after the commit. */
  readonly at: number;
  /** The transfer. */
  readonly id: string;
}

/** A node, or a process tree of it, that was stopped and continued. */
export interface Wake {
  readonly node: string;
  /** It must have held the lease then: only a holder can have begun something. */
  readonly frozenAt: number;
  readonly wokenAt: number;
}

export interface WritersHistory {
  readonly leases: readonly LeaseInterval[];
  readonly commits: readonly Commit[];
  /** Default none: then every orphan's commit counts as a dual writer. */
  readonly wakes?: readonly Wake[];
  /**
   * Ids that a client saw acknowledged. A commit of one of these is not taken for a woken process's last breath, unless a
   * holder of the lease committed the id too (the client had sent it again): then that is what was acknowledged. Without
   * this set no commit is taken for one.
   */
  readonly acknowledged?: ReadonlySet<string>;
  /**
   * How long after a wake-up a process may still finish what it had begun before it is ended. Default 1000 ms. Such a
   * commit reaches only that node's own file, which is kept aside, and nobody was told of it.
   */
  readonly wakeGraceMs?: number;
}

export interface WritersVerdict {
  /** Pairs of overlapping leases of different nodes, plus commits outside the own lease while another's was in force. */
  readonly dualWriters: number;
  readonly overlaps: number;
  readonly orphanCommits: number;
  /** Commits of just-woken processes that nobody saw acknowledged. Not dual writers: divergent, to be kept aside. */
  readonly divergent: number;
  /** Those commits: each must be in the log after all, or in what its node kept aside. */
  readonly divergentCommits: readonly Commit[];
  /** Commits outside the own lease while nobody held one. Harmless to data, and still a broken promise. */
  readonly unleased: number;
  /** A later lease with an epoch that is not higher. */
  readonly epochsOutOfOrder: number;
  readonly details: readonly string[];
}

const WAKE_GRACE_MS = 1000;
const DETAILS_MAX = 50;

export function checkWriters(history: WritersHistory): WritersVerdict {
  const details: string[] = [];
  const note = (text: string): void => {
    if (details.length < DETAILS_MAX) details.push(text);
  };
  const leases = [...history.leases].sort((a, b) => a.from - b.from);
  const overlaps = countOverlaps(leases, note);
  const epochsOutOfOrder = countEpochsOutOfOrder(leases, note);
  const context: Context = { history, leases, leased: leasedIds(history.commits, leases) };
  const counts = { orphanCommits: 0, divergent: 0, unleased: 0 };
  const divergentCommits: Commit[] = [];
  for (const commit of history.commits) {
    const kind = judgeCommit(commit, context);
    if (kind === undefined) continue;
    counts[kind] += 1;
    if (kind === 'divergent') divergentCommits.push(commit);
    note(`${kind}: process ${commit.pid} of ${commit.node} committed ${commit.id} at ${commit.at}`);
  }
  return {
    dualWriters: overlaps + counts.orphanCommits,
    overlaps,
    epochsOutOfOrder,
    ...counts,
    divergentCommits,
    details,
  };
}

interface Context {
  readonly history: WritersHistory;
  /** By their beginning. */
  readonly leases: readonly LeaseInterval[];
  /** Ids that were committed under the own lease. */
  readonly leased: ReadonlySet<string>;
}

function leasedIds(commits: readonly Commit[], leases: readonly LeaseInterval[]): Set<string> {
  return new Set(commits.filter((commit) => isLeased(commit, leases)).map((commit) => commit.id));
}

function isLeased(commit: Commit, leases: readonly LeaseInterval[]): boolean {
  return leases.some(
    (lease) => lease.node === commit.node && lease.from <= commit.at && commit.at <= (lease.fencedBy ?? endOf(lease)),
  );
}

function covers(lease: LeaseInterval, at: number): boolean {
  return lease.from <= at && at <= endOf(lease);
}

function judgeCommit(commit: Commit, context: Context): 'orphanCommits' | 'divergent' | 'unleased' | undefined {
  const { leases } = context;
  if (isLeased(commit, leases)) return undefined;
  if (isLastBreath(commit, context)) return 'divergent';
  return leases.some((lease) => covers(lease, commit.at)) ? 'orphanCommits' : 'unleased';
}

function isLastBreath(commit: Commit, { history, leases, leased }: Context): boolean {
  const { acknowledged, wakes = [], wakeGraceMs = WAKE_GRACE_MS } = history;
  if (acknowledged === undefined) return false;
  if (acknowledged.has(commit.id) && !leased.has(commit.id)) return false;
  return wakes.some(
    ({ node, frozenAt, wokenAt }) =>
      node === commit.node &&
      commit.at >= wokenAt &&
      commit.at <= wokenAt + wakeGraceMs &&
      leases.some((lease) => lease.node === node && covers(lease, frozenAt)),
  );
}

/** Touching is no overlap: the next may begin in the very millisecond in which the last one ended. */
function countOverlaps(leases: readonly LeaseInterval[], note: (text: string) => void): number {
  let overlaps = 0;
  for (const [i, a] of leases.entries()) {
    for (const b of leases.slice(i + 1)) {
      if (b.from >= endOf(a)) break;
      if (a.node === b.node) continue;
      overlaps += 1;
      note(`the leases of ${show(a)} and ${show(b)} overlap`);
    }
  }
  return overlaps;
}

function countEpochsOutOfOrder(leases: readonly LeaseInterval[], note: (text: string) => void): number {
  let wrong = 0;
  for (const [i, lease] of leases.entries()) {
    const before = leases[i - 1];
    if (before === undefined || lease.epoch > before.epoch) continue;
    // One term of leadership may be given as several intervals of one node.
    if (lease.epoch === before.epoch && lease.node === before.node) continue;
    wrong += 1;
    note(`the lease of ${show(lease)} follows that of ${show(before)}`);
  }
  return wrong;
}

function endOf(lease: LeaseInterval): number {
  return lease.to ?? Number.POSITIVE_INFINITY;
}

function show({ node, epoch, from, to }: LeaseInterval): string {
  return `${node} (epoch ${epoch}, ${from} to ${to ?? 'now'})`;
}
