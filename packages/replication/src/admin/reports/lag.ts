/**
 * How far each replica is behind, from what all of them said. Answers are not of one moment: what was written between two of them shows as a
 * small lag. Unknown is undefined, never 0. Pure.
 */
import type { FollowingStatus, MasterStatus, SubscriberStatus } from '../managed-replica.ts';
import type { NodeReport } from './status.ts';

export interface LagRow {
  readonly node: string;
  readonly role: 'leader' | 'follower' | 'master' | 'subscriber';
  /** Of a subscriber: which one this row is about. */
  readonly topic: string | undefined;
  /** The last sequence that it shows; of a master how many events; of a subscriber the next offset. */
  readonly position: number;
  /** Events that somebody has and this one does not show. */
  readonly behind: number | undefined;
  /** How long ago it was certainly up to date. */
  readonly ageMs: number | undefined;
  /** Of a follower: older than it may be. */
  readonly isStale: boolean;
  /** While it catches up. */
  readonly perSecond: number | undefined;
  readonly leftMs: number | undefined;
  /** Of a master: own events that are not sent yet. */
  readonly unsent: number | undefined;
}

export function lagOf(nodes: readonly NodeReport[]): LagRow[] {
  const statuses = nodes.map(({ status }) => status);
  const end = Math.max(0, ...statuses.map((one) => (one.kind === 'leader-follower' ? one.endSequence : 0)));
  const seen = seenByAny(statuses.filter((one): one is MasterStatus => one.kind === 'master'));
  return nodes.flatMap(({ node, status }) => {
    if (status.kind === 'leader-follower') return [ofFollowing(node, status, end)];
    if (status.kind === 'master') return [ofMaster(node, status, seen)];
    return ofSubscriber(node, status);
  });
}

function ofFollowing(node: string, status: FollowingStatus, end: number): LagRow {
  const { role, appliedSequence, ageMs, isStale, recovery } = status;
  const { perSecond, leftMs } = recovery.phase === 'log' ? recovery : {};
  const behind = role === 'leader' ? 0 : Math.max(0, end - appliedSequence);
  const rest = { perSecond, leftMs, topic: undefined, unsent: undefined };
  return {
    node,
    role,
    position: appliedSequence,
    behind,
    ageMs: role === 'leader' ? undefined : ageMs,
    isStale,
    ...rest,
  };
}

function ofMaster(node: string, { vectorClock, unsent }: MasterStatus, seen: ReadonlyMap<string, number>): LagRow {
  let [position, behind] = [0, 0];
  for (const count of Object.values(vectorClock)) position += count;
  for (const [author, count] of seen) behind += Math.max(0, count - (vectorClock[author] ?? 0));
  const unknown = { ageMs: undefined, perSecond: undefined, leftMs: undefined };
  return { node, role: 'master', topic: undefined, position, behind, isStale: false, unsent, ...unknown };
}

function ofSubscriber(node: string, { topics }: SubscriberStatus): LagRow[] {
  return topics.map(({ topic, position, lag, ratePerSecond, timeLeftMs, caughtUp }) => ({
    node,
    role: 'subscriber',
    topic,
    position,
    behind: lag,
    ageMs: undefined,
    isStale: false,
    perSecond: caughtUp ? undefined : ratePerSecond,
    leftMs: caughtUp ? undefined : timeLeftMs,
    unsent: undefined,
  }));
}

/** Of each master the most events that any has. */
function seenByAny(masters: readonly MasterStatus[]): Map<string, number> {
  const seen = new Map<string, number>();
  for (const { vectorClock } of masters)
    for (const [author, count] of Object.entries(vectorClock)) seen.set(author, Math.max(count, seen.get(author) ?? 0));
  return seen;
}
