/** A `MultiMasterManager` as a managed replica. */
import { CanopyError, messageOf } from '@canopy/core';
import { Recovery, type RecoveryProgress } from '../../leader-follower/recovery-progress.ts';
import type { MultiMasterManager } from '../../multi-master/manager.ts';
import type { HotSpot, ManagedReplica, MasterStatus, ReplicaClock, ReplicaConflict } from '../managed-replica.ts';

/** What is called of a manager of masters. */
export type ManagedMaster = Pick<
  MultiMasterManager,
  | 'getMasterId'
  | 'getConflictStrategy'
  | 'getMetrics'
  | 'getStatus'
  | 'getConflicts'
  | 'getPendingConflicts'
  | 'resolveConflict'
  | 'delete'
  | 'hotEntities'
  | 'clockReport'
  | 'syncWithRemote'
  | 'removeMaster'
  | 'on'
> &
  // Of later versions: a manager may come from another copy of this package.
  Partial<Pick<MultiMasterManager, 'failure' | 'canRebuild' | 'rebuild' | 'getRecoveryProgress'>>;

export class MasterReplica implements ManagedReplica {
  readonly kind = 'master';
  readonly node: string;
  readonly rebuild: ManagedReplica['rebuild'];
  readonly #manager: ManagedMaster;
  #lastError: string | undefined;

  constructor(node: string, manager: ManagedMaster) {
    this.node = node;
    this.#manager = manager;
    if (manager.failure !== undefined) this.#lastError = textOf(manager.failure);
    if (manager.canRebuild) this.rebuild = async (signal, discard) => manager.rebuild?.({ signal, discard });
    manager.on('failed', ({ error }) => {
      this.#lastError = textOf(error);
    });
  }

  knows(): string[] {
    const { members } = this.#manager.clockReport();
    return members.filter(({ active }) => active).map(({ masterId }) => masterId);
  }

  status(): MasterStatus {
    const { masterId, durable, eventsApplied, waiting, unsent, rejected, pendingConflicts, conflictRate, vectorClock } =
      this.#manager.getStatus();
    return {
      kind: this.kind,
      masterId,
      durable,
      strategy: this.#manager.getConflictStrategy(),
      eventsApplied,
      waiting,
      unsent,
      rejected,
      conflictsDetected: this.#manager.getMetrics().conflictsDetected,
      pendingConflicts,
      conflictRate,
      vectorClock,
      lastError: this.#lastError,
    };
  }

  async conflicts(entityId?: string): Promise<ReplicaConflict[]> {
    const all = await this.#manager.getConflicts();
    const pending = new Set((await this.#manager.getPendingConflicts()).map((one) => one.entityId));
    return all
      .filter((one) => entityId === undefined || one.entityId === entityId)
      .map((one) => ({
        entityId: one.entityId,
        detectedAt: one.detectedAt,
        versions: one.versions,
        pending: pending.has(one.entityId),
      }));
  }

  async resolve(entityId: string, data: Readonly<Record<string, unknown>> | null): Promise<void> {
    if (data === null) await this.#manager.delete(entityId);
    else await this.#manager.resolveConflict(entityId, { ...data });
  }

  hot(limit: number): readonly HotSpot[] {
    return this.#manager.hotEntities(limit);
  }

  clock(): ReplicaClock {
    const { self, members } = this.#manager.clockReport();
    return { self, members: members.map(({ masterId, aheadMs }) => ({ masterId, aheadMs })) };
  }

  async resync(): Promise<void> {
    await this.#manager.syncWithRemote();
  }

  progress(): RecoveryProgress {
    return this.#manager.getRecoveryProgress?.() ?? new Recovery().progress(0);
  }

  async removeMember(node: string): Promise<void> {
    await this.#manager.removeMaster(node);
  }
}

function textOf(error: Error): string {
  return CanopyError.is(error) ? `${error.code}: ${error.message}` : messageOf(error);
}
