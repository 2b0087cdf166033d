/** What a question makes of a replica. Arguments come from outside: each is looked at before it is used. */
import type { Clock } from '@canopy/core';
import { replicationErrors } from '../errors.ts';
import type { ManagedReplica, ReplicaConflict, ReplicaStatus } from './managed-replica.ts';
import type { AdminOp, Question } from './messages.ts';
import type { RecoveryMode, RecoveryReport, RecoveryRun } from './recovery-run.ts';

export interface StatusResult {
  readonly status: ReplicaStatus;
  readonly recovery: RecoveryReport;
}

export interface ConflictsResult {
  /** Those that wait first, then the latest. */
  readonly conflicts: readonly ReplicaConflict[];
  readonly total: number;
}

/** Text of conflicts in one answer; what is beyond is counted only. */
const CONFLICTS_CHARS = 160_000;
const LIMIT_MAX = 1000;

export class Operations {
  readonly #replica: () => ManagedReplica;
  readonly #recovery: RecoveryRun;
  readonly #clock: Clock;

  constructor(replica: () => ManagedReplica, recovery: RecoveryRun, clock: Clock) {
    this.#replica = replica;
    this.#recovery = recovery;
    this.#clock = clock;
  }

  async run(question: Question, heardAt: number): Promise<unknown> {
    const replica = this.#replica();
    const op = question.op as AdminOp;
    switch (op) {
      case 'status':
        return { status: await replica.status(), recovery: this.#recovery.report() } satisfies StatusResult;
      case 'conflicts':
        return this.#conflicts(replica, question);
      case 'resolve':
        return this.#resolve(replica, question);
      case 'hot':
        if (replica.hot === undefined) throw unsupported(replica, op);
        return { status: await replica.status(), hot: replica.hot(this.#limit(question, replica)) };
      case 'clock': {
        const clock = replica.clock?.();
        return { heardAt, clock, answeredAt: this.#clock.wall() };
      }
      case 'recover':
        return this.#recovery.begin(modeOf(question, replica), question.discard === true);
      case 'recovery':
        return this.#recovery.report();
      case 'add':
        if (replica.addMember === undefined) throw unsupported(replica, op);
        return replica.addMember(text(question, 'member', replica));
      case 'remove':
        if (replica.removeMember === undefined) throw unsupported(replica, op);
        return replica.removeMember(text(question, 'member', replica));
      default:
        op satisfies never;
        throw unsupported(replica, question.op);
    }
  }

  async #conflicts(replica: ManagedReplica, question: Question): Promise<ConflictsResult> {
    if (replica.conflicts === undefined) throw unsupported(replica, 'conflicts');
    const entityId = question.entityId === undefined ? undefined : text(question, 'entityId', replica);
    const all = [...(await replica.conflicts(entityId))].sort(
      (a, b) => Number(b.pending) - Number(a.pending) || b.detectedAt - a.detectedAt,
    );
    const conflicts: ReplicaConflict[] = [];
    let chars = 0;
    for (const conflict of all.slice(0, this.#limit(question, replica))) {
      chars += JSON.stringify(conflict).length;
      if (chars > CONFLICTS_CHARS && conflicts.length > 0) break;
      conflicts.push(conflict);
    }
    return { conflicts, total: all.length };
  }

  async #resolve(replica: ManagedReplica, question: Question): Promise<{ readonly data: unknown }> {
    if (replica.resolve === undefined || replica.conflicts === undefined) throw unsupported(replica, 'resolve');
    const entityId = text(question, 'entityId', replica);
    const [known] = await replica.conflicts(entityId);
    if (known === undefined) throw replicationErrors.create('CONFLICT_UNKNOWN', { entityId, node: replica.node });
    const data = question.pick === undefined ? question.data : pickFrom(known, text(question, 'pick', replica));
    const isData = data === null || (typeof data === 'object' && !Array.isArray(data));
    if (!isData) throw invalid(replica, 'data must be an object, or null to delete the entity');
    await replica.resolve(entityId, data as Record<string, unknown> | null);
    return { data };
  }

  #limit({ limit = 100 }: Question, replica: ManagedReplica): number {
    if (Number.isSafeInteger(limit) && (limit as number) >= 1 && (limit as number) <= LIMIT_MAX) return limit as number;
    throw invalid(replica, `limit must be a whole number from 1 to ${LIMIT_MAX}`);
  }
}

function pickFrom({ entityId, versions }: ReplicaConflict, pick: string): Readonly<Record<string, unknown>> | null {
  const version = versions.find(({ masterId }) => masterId === pick);
  const known = versions.map(({ masterId }) => masterId).join(', ');
  if (version === undefined) throw replicationErrors.create('CONFLICT_VERSION_UNKNOWN', { entityId, pick, known });
  return version.data;
}

function modeOf({ mode }: Question, replica: ManagedReplica): RecoveryMode | undefined {
  if (mode === undefined || mode === 'rebuild' || mode === 'resync') return mode;
  throw invalid(replica, 'mode must be rebuild or resync');
}

function text(question: Question, field: string, replica: ManagedReplica): string {
  const value = question[field];
  if (typeof value === 'string' && value !== '' && value.length <= 1024) return value;
  throw invalid(replica, `${field} must be a text of 1 to 1024 characters`);
}

function invalid({ node }: ManagedReplica, problem: string): Error {
  return replicationErrors.create('REPLICATION_ADMIN_INVALID', { node, problem });
}

function unsupported({ node, kind }: ManagedReplica, op: string): Error {
  return replicationErrors.create('REPLICATION_ADMIN_UNSUPPORTED', { node, op, kind });
}
