/** What a manager tells of itself. */
import type { FollowerInfo } from './follower-registry.ts';
import type { RecoveryProgress } from './recovery-progress.ts';
import type { ReplicationRole } from './replication-role.ts';

/** Of the configuration; `role` is the one it was constructed with. */
export interface PublicConfig {
  readonly nodeId: string;
  readonly role: ReplicationRole;
  readonly namespace: string;
  readonly heartbeatIntervalMs: number;
  readonly heartbeatTimeoutMs: number;
  readonly maxStalenessMs: number;
  readonly promotionEligible: boolean;
}

export interface LeaderState {
  readonly role: 'leader';
  readonly currentSequence: number;
  readonly followerCount: number;
  readonly followers: Map<string, FollowerInfo>;
  readonly epoch: number;
  readonly fencingToken: unknown;
}

export interface FollowerState {
  readonly role: 'follower';
  readonly appliedSequence: number;
  readonly leaderId: string | undefined;
  readonly isStale: boolean;
}

/** Plain data: it can be sent to another process. */
export interface LeaderFollowerStatus {
  readonly nodeId: string;
  readonly namespace: string;
  readonly role: ReplicationRole;
  readonly leaderId: string | undefined;
  readonly epoch: number;
  readonly appliedSequence: number;
  /** The greatest sequence that this node knows of. */
  readonly endSequence: number;
  readonly lag: number;
  /** How long ago it was certainly up to date; 0 on a leader. */
  readonly ageMs: number;
  readonly isStale: boolean;
  readonly recovery: RecoveryProgress;
  readonly followers: readonly Readonly<FollowerInfo>[];
  readonly lastError: string | undefined;
}

export interface SplitBrainReport {
  readonly splitBrain: boolean;
  /** The one of the greatest epoch: on a log the only one whose writes count. Undefined when nobody leads. */
  readonly winner: string | undefined;
  readonly leaders: readonly {
    readonly nodeId: string;
    readonly epoch: number;
    readonly sequence: number;
    readonly followers: readonly string[];
    readonly shouldDemote: boolean;
  }[];
}

/**
 * Who claims to lead, and who of them should step down. Sequences are shown and decide nothing: the greatest may be a deposed leader's.
 * Two leaders for a moment are ordinary on a log: the deposed one learns of it with its next write.
 */
export function splitBrainReport(nodes: readonly LeaderFollowerStatus[]): SplitBrainReport {
  const leaders = nodes
    .filter(({ role }) => role === 'leader')
    .sort((a, b) => b.epoch - a.epoch || (a.nodeId < b.nodeId ? 1 : -1));
  const winner = leaders[0]?.nodeId;
  return {
    splitBrain: leaders.length > 1,
    winner,
    leaders: leaders.map(({ nodeId, epoch, appliedSequence: sequence, followers }) => ({
      nodeId,
      epoch,
      sequence,
      followers: followers.map((follower) => follower.nodeId),
      shouldDemote: nodeId !== winner,
    })),
  };
}
