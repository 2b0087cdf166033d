/**
 * One node of a leader-follower group: a role, a replica below it, and the right to lead. Invariant: transitions of the role are made
 * one after the other, and a write is handed down only by a leader whose right was looked at in the same turn.
 */
import { type CanopyError, type Clock, type Env, type Logger, messageOf, withDeadline } from '@canopy/core';
import { replicationErrors } from '../errors.ts';
import { isEventLog } from '../ports/event-log.ts';
import type { ResolvedConfig } from './config.ts';
import { Listeners } from './events.ts';
import { FollowerRegistry } from './follower-registry.ts';
import { Heartbeats } from './heartbeats.ts';
import { LeadershipClaim, type Refusal } from './leadership-claim.ts';
import { LogReplica } from './log/log-replica.ts';
import { ManagerMetrics } from './manager-metrics.ts';
import { PlainReplica } from './plain/plain-replica.ts';
import { ProgressReports } from './progress-reports.ts';
import { formatSessionToken } from './reading/session-token.ts';
import type { HandedWrite, RebuildOptions, Replica, ReplicaHost } from './replica.ts';
import type { ReplicationRole } from './replication-role.ts';
import { SequenceWaiters } from './sequence-waiters.ts';
import type { WriteOptions, WriteRequest, WriteResult } from './write-request.ts';
import { failureOf, followersOf, isRequest, noRequest, validateWrite } from './write-result.ts';

export class LeaderFollowerNode {
  readonly config: ResolvedConfig;
  readonly listeners: Listeners;
  readonly metrics: ManagerMetrics;
  readonly claim: LeadershipClaim;
  readonly replica: Replica;
  readonly followers: FollowerRegistry;
  readonly waiters: SequenceWaiters;
  readonly heartbeats: Heartbeats;
  readonly isLog: boolean;
  role: ReplicationRole;
  leaderId: string | undefined;
  closed = false;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #reports: ProgressReports;
  #started: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #forgetTerm: () => void = () => {};
  /** It has led; what was constructed as leader and did not yet has no term in its log. */
  #hasLed = false;

  constructor(config: ResolvedConfig, env: Env) {
    const { nodeId, namespace, role, pipeline, leaderId } = config;
    this.config = config;
    this.#clock = env.clock;
    this.#log = env.log.with({ node: nodeId, namespace });
    this.listeners = new Listeners(this.#log);
    this.metrics = new ManagerMetrics(env.metrics, nodeId);
    this.isLog = isEventLog(pipeline);
    this.claim = new LeadershipClaim(config, env.clock, !this.isLog);
    const host = this.#host();
    this.replica = isEventLog(pipeline)
      ? new LogReplica(config, pipeline, host, env)
      : new PlainReplica(config, host, env);
    this.followers = new FollowerRegistry(env.clock);
    this.waiters = new SequenceWaiters(env.clock);
    this.#reports = new ProgressReports(config, env.clock, () => this.replica.applied);
    this.heartbeats = new Heartbeats(config, env.clock, {
      leaderId: () => this.leaderId,
      leaderFailed: (failed) => this.listeners.emit('leaderFailed', { leaderId: failed }),
      failed: (error, during) => this.#failed(error, during),
    });
    this.role = role;
    // On a plain pipeline a node that was told no leader names itself, as programs expect.
    this.leaderId = leaderId ?? (this.isLog && role === 'follower' ? undefined : nodeId);
  }

  async start(): Promise<void> {
    if (!this.closed) this.#started ??= this.#inTurn(() => this.#start());
    await this.#started;
  }

  promote(force: boolean): Promise<void> {
    return this.#inTurn(() => this.#promote(force));
  }

  demote(reason: string): Promise<void> {
    return this.#inTurn(() => this.#demote(reason));
  }

  rebuild(options: RebuildOptions): Promise<void> {
    return this.#inTurn(async () => {
      const { nodeId: node } = this.config;
      const refused = (problem: string): CanopyError => replicationErrors.create('RECOVERY_REFUSED', { node, problem });
      if (this.closed) throw replicationErrors.create('MANAGER_CLOSED', { node });
      if (this.role === 'leader') throw refused('it leads');
      if (!(this.replica instanceof LogReplica)) throw refused('it has no event log to be made anew from');
      this.#log.info('replication_rebuild');
      try {
        await this.replica.rebuild(options);
        this.metrics.rebuilt('done');
      } catch (error) {
        this.metrics.rebuilt('failed');
        throw error;
      }
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async write(request: WriteRequest, given: WriteOptions): Promise<WriteResult> {
    const options = given ?? {};
    const timeoutMs = options.timeoutMs ?? this.config.writeTimeoutMs;
    if (!isRequest(request)) return this.#roleRefusal() ?? this.#answer(noRequest(), { key: '', operation: 'update' });
    try {
      if (this.isLog && this.role === 'leader' && !this.#hasLed && !this.closed) await this.#begin(request, timeoutMs);
      const refused = this.#roleRefusal();
      if (refused !== undefined) return refused;
      const asked = this.claim.refusal();
      const refusal = asked instanceof Promise ? await asked : asked;
      if (refusal !== undefined) return this.#refuse(refusal);
      validateWrite(request, options);
      const until = this.#clock.monotonic() + timeoutMs;
      const handing = this.replica.write(request, timeoutMs);
      const handed = await withDeadline(this.#clock, `write ${request.key}`, timeoutMs, handing);
      const confirmed = this.#confirmed(request, options, handed, until);
      if (options.ack !== 'local') return await confirmed;
      return { success: true, sequence: handed.sequence, confirmed };
    } catch (error) {
      return this.#answer(error, request);
    }
  }

  /** What writes before it is started, or while it starts, starts: without a term nothing could count. */
  async #begin({ key }: WriteRequest, timeoutMs: number): Promise<void> {
    try {
      await withDeadline(this.#clock, 'begin to lead', timeoutMs, this.start());
    } catch (error) {
      const problem = `the node could not begin to lead: ${messageOf(error)}`;
      throw replicationErrors.create('REPLICATION_FAILED', { key, problem, unknown: false }, error);
    }
  }

  /** Never rejects. */
  async #confirmed(
    request: WriteRequest,
    { ack = 'stream' }: WriteOptions,
    handed: HandedWrite,
    until: number,
  ): Promise<WriteResult> {
    const leftMs = Math.max(0, until - this.#clock.monotonic());
    try {
      const sequence = await withDeadline(this.#clock, `write ${request.key}`, leftMs, handed.done);
      const { namespace } = this.config;
      const { logId, epoch } = this.replica;
      const token = formatSessionToken({ namespace, logId, epoch, sequence });
      const wanted = followersOf(ack);
      if (wanted === undefined) return { success: true, sequence, token };
      const reached = await this.followers.whenReached(sequence, wanted, until - this.#clock.monotonic());
      if (reached >= wanted) return { success: true, sequence, token };
      const incomplete = replicationErrors.create('ACK_INCOMPLETE', { sequence, reached, wanted });
      return { ...failureOf(incomplete, request), token };
    } catch (error) {
      return this.#answer(error, request);
    }
  }

  #answer(error: unknown, request: WriteRequest): WriteResult {
    const result = failureOf(error, request);
    if (result.errorCode !== 'STALE_LEADER') return result;
    this.#stepDown('another leads');
    const known = this.leaderId === this.config.nodeId ? undefined : this.leaderId;
    return known === undefined || result.leaderId !== undefined ? result : { ...result, leaderId: known };
  }

  #roleRefusal(): WriteResult | undefined {
    const { nodeId: node, role } = this.config;
    const leaderId = this.leaderId;
    if (this.closed) return failure(replicationErrors.create('MANAGER_CLOSED', { node }));
    if (this.role === 'leader') return undefined;
    const code = role === 'leader' ? 'NOT_LEADER' : 'FOLLOWER_READ_ONLY';
    return failure(replicationErrors.create(code, { node, leader: leaderId ?? 'which is not known' }), leaderId);
  }

  #refuse({ code, leaderId }: Refusal): WriteResult {
    const { nodeId: node, election } = this.config;
    if (code === 'STALE_LEADER' && (election !== undefined || this.isLog))
      this.#stepDown('its right to lead has ended');
    const problem = leaderId === undefined ? 'its right to lead has ended' : `${leaderId} does`;
    return failure(replicationErrors.create(code, { node, problem }), leaderId);
  }

  async #start(): Promise<void> {
    if (this.closed) return;
    this.metrics.leads(false);
    if (this.role === 'follower') return this.#follow();
    const { epoch } = this.replica;
    const held = await this.claim.begin(epoch);
    const mayFollow = this.isLog || this.config.election !== undefined;
    if (!held && mayFollow) {
      this.role = 'follower';
      this.#log.warn('replication_leader_without_right');
      return this.#follow();
    }
    if (held) {
      try {
        const began = await this.replica.begin(this.claim.epoch, () => this.claim.mayLead());
        if (this.isLog) this.claim.setEpoch(began);
      } catch (error) {
        this.role = 'follower';
        await this.claim.release();
        this.#reports.begin();
        this.heartbeats.listen();
        throw error;
      }
    }
    this.#led();
  }

  async #follow(): Promise<void> {
    const { role, leaderId, nodeId } = this.config;
    // Constructed as leader, without the right to: it knows no leader.
    if (role === 'leader' && leaderId === undefined && this.leaderId === nodeId && this.isLog)
      this.leaderId = undefined;
    this.#reports.begin();
    await this.replica.follow();
    if (!this.closed) this.heartbeats.listen();
  }

  async #promote(force: boolean): Promise<void> {
    const { nodeId: node } = this.config;
    if (this.closed) throw replicationErrors.create('MANAGER_CLOSED', { node });
    if (this.role === 'leader' && this.claim.held) return;
    const previousRole = this.role;
    await this.claim.prove(this.replica.epoch, force);
    try {
      const epoch = await this.replica.lead(this.claim.epoch, () => force || this.claim.mayLead());
      this.claim.setEpoch(epoch);
    } catch (error) {
      await this.claim.release();
      throw error;
    }
    this.role = 'leader';
    this.leaderId = node;
    this.#led();
    const { epoch } = this.claim;
    this.#log.info('replication_promoted', { epoch });
    this.listeners.emit('promoted', { previousRole, newRole: 'leader', epoch, ...(force ? { forced: true } : {}) });
    if (previousRole !== 'leader') this.listeners.emit('roleChanged', { previousRole, newRole: 'leader' });
  }

  /** What a leader does beside writing. */
  #led(): void {
    this.#hasLed = true;
    this.leaderId = this.config.nodeId;
    this.metrics.leads(true);
    this.heartbeats.beat();
    this.#reports.hear(this.followers);
    const signal = this.claim.term?.signal;
    const onEnd = (): void => this.#stepDown('its term has ended');
    this.#forgetTerm = () => signal?.removeEventListener('abort', onEnd);
    if (signal?.aborted) onEnd();
    else signal?.addEventListener('abort', onEnd, { once: true });
  }

  async #demote(reason: string): Promise<void> {
    if (this.closed || this.role === 'follower') return;
    const { epoch } = this.claim;
    this.role = 'follower';
    if (this.isLog && this.leaderId === this.config.nodeId) this.leaderId = undefined;
    this.#forgetTerm();
    this.metrics.leads(false);
    // Given back last: who takes it then finds everything of this node in the log.
    this.claim.drop();
    await this.replica.resign();
    await this.claim.release();
    this.#log.info('replication_demoted', { reason, epoch });
    this.listeners.emit('demoted', { reason, epoch });
    this.listeners.emit('roleChanged', { previousRole: 'leader', newRole: 'follower' });
    if (this.closed) return;
    const following = this.#follow();
    // On a log catching up may take long, and goes on by itself.
    if (this.isLog) following.catch((error: Error) => this.#failed(error, 'follow'));
    else await following;
  }

  /** Not awaited: the caller has found out that it does not lead. */
  #stepDown(reason: string): void {
    if (this.role !== 'leader' || this.closed) return;
    this.demote(reason).catch((error: Error) => this.#failed(error, 'step down'));
  }

  async #close(): Promise<void> {
    this.closed = true;
    this.#forgetTerm();
    this.heartbeats.stop();
    this.#reports.stop();
    const error = replicationErrors.create('REPLICA_CLOSED', { node: this.config.nodeId });
    this.waiters.close(error);
    this.followers.close();
    await this.replica.close();
    await this.#turn.catch(() => {});
    // A transition that was under way may have begun something again.
    await this.replica.close();
    this.heartbeats.stop();
    this.#reports.stop();
    await this.claim.release().catch((failure: Error) => this.#failed(failure, 'release the lock'));
    this.metrics.closed();
    this.listeners.clear();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work, work);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  #host(): ReplicaHost {
    return {
      applied: (writes, position) => {
        this.metrics.followed(writes.length, Math.max(0, this.replica.end - position));
        for (const write of writes) this.listeners.emit('eventApplied', write);
        this.waiters.reached(position);
        this.#reports.moved();
      },
      written: (write) => {
        this.metrics.written();
        this.listeners.emit('write', write);
        this.waiters.reached(write.sequence);
      },
      leaderSeen: (leaderId, epoch) => {
        // Who follows and reads that it leads itself was deposed: who leads now is not known yet.
        if (leaderId === this.config.nodeId) {
          if (this.isLog) this.leaderId = undefined;
          return;
        }
        const isNew = this.leaderId !== leaderId;
        this.leaderId = leaderId;
        if (isNew) this.listeners.emit('leaderChanged', { leaderId, epoch });
      },
      gap: (gap) => {
        this.metrics.gap();
        this.#log.warn('replication_gap', { ...gap });
        this.listeners.emit('gap', gap);
      },
      skipped: (record) => {
        this.metrics.skipped();
        this.#log.warn('replication_record_skipped', { ...record });
        this.listeners.emit('recordSkipped', record);
      },
      recovered: (eventsRecovered, recoveryDurationMs) =>
        this.listeners.emit('recoveryComplete', { eventsRecovered, recoveryDurationMs }),
      deposed: (leaderId, epoch) => {
        this.leaderId = leaderId === this.config.nodeId ? undefined : leaderId;
        this.claim.drop();
        this.#log.warn('replication_deposed', { leader: leaderId, epoch });
        this.#stepDown('another leads');
      },
      failed: (error, during) => this.#failed(error, during),
    };
  }

  #failed(error: Error, during: string): void {
    this.metrics.lastError = `${during}: ${messageOf(error)}`;
    this.#log.warn('replication_failed', { during, error: messageOf(error) });
    this.listeners.emit('error', { error, during });
  }
}

function failure(error: CanopyError, leaderId?: string): WriteResult {
  const result: WriteResult = { success: false, error: error.message, errorCode: error.code };
  return leaderId === undefined ? result : { ...result, leaderId };
}
