/** A `LeaderFollowerManager` as a managed replica. */
import { replicationErrors } from '../../errors.ts';
import type { LeaderFollowerManager } from '../../leader-follower/manager.ts';
import type { RecoveryProgress } from '../../leader-follower/recovery-progress.ts';
import type { FollowingStatus, ManagedReplica } from '../managed-replica.ts';

/** How long one wait of a resync may be; it is begun again until the signal aborts. */
const WAIT_MS = 60_000;

export class FollowingReplica implements ManagedReplica {
  readonly kind = 'leader-follower';
  readonly node: string;
  readonly rebuild: ManagedReplica['rebuild'];
  readonly #manager: LeaderFollowerManager;
  #way: { readonly from: number; readonly to: number } | undefined;

  constructor(node: string, manager: LeaderFollowerManager) {
    this.node = node;
    this.#manager = manager;
    if (manager.canRebuild) this.rebuild = (signal, discard) => manager.rebuild({ signal, discard });
  }

  knows(): string[] {
    const leader = this.#manager.getLeaderId();
    const followers = this.#manager.getRole() === 'leader' ? this.#manager.getConnectedFollowers() : [];
    return [...(leader === undefined ? [] : [leader]), ...followers];
  }

  status(): FollowingStatus {
    return { kind: this.kind, ...this.#manager.status() };
  }

  async resync(signal: AbortSignal): Promise<void> {
    if (this.#manager.getRole() === 'leader') return;
    const { appliedSequence: from, endSequence: to } = this.#manager.status();
    this.#way = { from, to };
    try {
      await this.#manager.requestCatchUp();
      while (this.#manager.getAppliedSequence() < to && this.#manager.getRole() !== 'leader') {
        signal.throwIfAborted();
        await this.#manager.waitForSequence(to, WAIT_MS);
      }
    } finally {
      this.#way = undefined;
    }
  }

  /** The manager's own where it measures one; else the way from where the resync began. */
  progress(): RecoveryProgress {
    const own = this.#manager.getRecoveryProgress();
    if (own.phase !== 'none' || this.#way === undefined) return own;
    const { from, to } = this.#way;
    const total = to - from;
    const done = Math.min(total, this.#manager.getAppliedSequence() - from);
    const percent = total === 0 ? 100 : (100 * done) / total;
    return { phase: 'log', done, total, percent, perSecond: undefined, leftMs: undefined };
  }

  async addMember(node: string): Promise<void> {
    this.#requireLeader();
    await this.#manager.registerFollower(node);
  }

  async removeMember(node: string): Promise<void> {
    this.#requireLeader();
    await this.#manager.unregisterFollower(node);
  }

  #requireLeader(): void {
    if (this.#manager.getRole() === 'leader') return;
    const leader = this.#manager.getLeaderId() ?? 'which is not known';
    throw replicationErrors.create('NOT_LEADER', { node: this.node, leader });
  }
}
