/** Spreads reads over the followers of this process that are fresh, one after the other. */
import type { LeaderFollowerManager } from '../manager.ts';
import { parseSessionToken } from './session-token.ts';

export interface RoutedReadOptions {
  /** From the leader. */
  readonly preferFresh?: boolean;
  /** Only from a replica that shows what this session has seen; the leader if no follower does. */
  readonly token?: string;
  /** How long the leader may take to show what the token wants. Default 5 s. */
  readonly timeoutMs?: number;
}

export class ReadRouter {
  readonly #nodes: readonly LeaderFollowerManager[];
  #next = 0;

  /** Roles may change: what counts is who leads at the moment of a read. */
  constructor(leader: LeaderFollowerManager, followers: readonly LeaderFollowerManager[]) {
    this.#nodes = [leader, ...followers];
  }

  /** Who leads now; the first one given when nobody does. */
  get leader(): LeaderFollowerManager {
    return leaderAmong(this.#nodes);
  }

  /**
   * The value, or null. Falls back to the leader when no follower is fresh (and far enough). With a token throws SESSION_TOKEN_INVALID,
   * SESSION_TOKEN_FOREIGN, and DEADLINE_EXCEEDED when the leader does not show it in time either.
   */
  async read(key: string, options: RoutedReadOptions = {}): Promise<unknown> {
    const { preferFresh = false, token, timeoutMs } = options;
    const wanted = token === undefined ? 0 : parseSessionToken(token).sequence;
    const able = this.#nodes.filter(
      (node) =>
        node.getRole() === 'follower' && !node.isClosed() && !node.isStale() && node.getAppliedSequence() >= wanted,
    );
    const follower = preferFresh ? undefined : able[this.#next % Math.max(1, able.length)];
    if (follower !== undefined) this.#next += 1;
    const reader = follower ?? this.leader;
    if (token === undefined) return reader.read(key);
    return reader.read(key, { token, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
  }
}

/** The leader of the greatest epoch; the first node when nobody leads. */
export function leaderAmong(nodes: readonly LeaderFollowerManager[]): LeaderFollowerManager {
  const leaders = nodes.filter((node) => node.getRole() === 'leader' && !node.isClosed());
  leaders.sort((a, b) => b.getEpoch() - a.getEpoch());
  return (leaders[0] ?? nodes[0]) as LeaderFollowerManager;
}
