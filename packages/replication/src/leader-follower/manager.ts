/**
 * The manager of one node, as its users see it. What it does is in `node.ts`; here is the whole surface, and what each call promises.
 */
import { type Env, systemEnv } from '@canopy/core';
import { replicationErrors } from '../errors.ts';
import type { SnapshotInfo } from '../ports/snapshot-store.ts';
import type { StateStore } from '../ports/state-store.ts';
import { type LeaderFollowerConfig, resolveConfig } from './config.ts';
import type { ManagerEvent, ManagerEvents, ManagerListener } from './events.ts';
import { LogReplica } from './log/log-replica.ts';
import { LeaderFollowerNode } from './node.ts';
import { type NamespaceLock, namespaceLocks } from './plain/namespace-locks.ts';
import { parseSessionToken, requireSameLog, type SessionPosition } from './reading/session-token.ts';
import type { RecoveryProgress } from './recovery-progress.ts';
import type { RebuildOptions } from './replica.ts';
import type { ReplicationRole } from './replication-role.ts';
import type { FollowerState, LeaderFollowerStatus, LeaderState, PublicConfig } from './status.ts';
import type { WriteOptions, WriteRequest, WriteResult } from './write-request.ts';

const WAIT_MS = 5000;

export class LeaderFollowerManager implements AsyncDisposable {
  readonly config: PublicConfig;
  readonly #node: LeaderFollowerNode;

  /** Throws OPTIONS_INVALID. Nothing runs before `start()`, or the first write of a node constructed as leader. */
  constructor(config: LeaderFollowerConfig, env: Env = systemEnv()) {
    this.#node = new LeaderFollowerNode(resolveConfig(config), env);
    const { nodeId, role, namespace, promotionEligible } = this.#node.config;
    const { heartbeatIntervalMs, heartbeatTimeoutMs, maxStalenessMs } = this.#node.config;
    const times = { heartbeatIntervalMs, heartbeatTimeoutMs, maxStalenessMs };
    this.config = Object.freeze({ nodeId, role, namespace, ...times, promotionEligible });
  }

  /** For tests: forgets who leads which namespace inside this process. */
  static clearGlobalLocks(): void {
    namespaceLocks.clear();
  }

  /** Who leads a namespace inside this process, on plain pipelines. */
  static getGlobalLockState(namespace: string): NamespaceLock | null {
    return namespaceLocks.get(namespace) ?? null;
  }

  /**
   * Begins to lead or to follow, as configured. Idempotent; nothing after `close()`. A follower has caught up when this resolves, unless that
   * takes longer than a write may. A leader on a log claims its term; one that has no right to follows.
   */
  async start(): Promise<void> {
    await this.#node.start();
  }

  /**
   * Never throws for what a leader may meet: the answer says it. A success is in the log (of an `EventLog`, on a quorum), and
   * shows here. On a log the first write of a node constructed as leader that was not started begins with what `start()` does.
   */
  async write(request: WriteRequest, options: WriteOptions = {}): Promise<WriteResult> {
    const result = await this.#node.write(request, options);
    if (!result.success) this.#node.metrics.refused();
    return result;
  }

  /**
   * The value, or null. Any role, however stale; also after `close()` as long as the store is open. With a session's token, only once this replica
   * shows what the session has seen; throws as `waitForToken`.
   */
  async read(key: string, options: { readonly token?: string; readonly timeoutMs?: number } = {}): Promise<unknown> {
    if (options.token !== undefined) await this.waitForToken(options.token, options.timeoutMs);
    // Nothing is stored under what is no key of a store.
    return key.isWellFormed() ? (this.#node.config.stateStore.get(key) ?? null) : null;
  }

  /** Whether what a follower shows may be older than `maxStalenessMs`. False on a leader. */
  isStale(): boolean {
    return this.#node.role === 'follower' && this.#node.replica.ageMs() > this.#node.config.maxStalenessMs;
  }

  /** Resolves when this replica has applied the sequence. Throws DEADLINE_EXCEEDED (default 5 s), REPLICA_CLOSED, REPLICA_BUSY. */
  async waitForSequence(sequence: number, timeoutMs: number = WAIT_MS): Promise<void> {
    if (this.#node.closed) throw replicationErrors.create('REPLICA_CLOSED', { node: this.getNodeId() });
    await this.#node.waiters.wait(sequence, this.#node.replica.applied, timeoutMs);
  }

  /** As `waitForSequence`. Throws SESSION_TOKEN_INVALID, and SESSION_TOKEN_FOREIGN for that of another namespace or log. */
  async waitForToken(token: string, timeoutMs: number = WAIT_MS): Promise<void> {
    const wanted = parseSessionToken(token);
    // A replica that never reached its log does not know which one it is of.
    if (!this.#node.isLog || this.#node.replica.logId !== 0) requireSameLog(wanted, this.position());
    await this.waitForSequence(wanted.sequence, timeoutMs);
    requireSameLog(wanted, this.position());
  }

  /** Where this replica stands. */
  position(): SessionPosition {
    const { applied: sequence, logId, epoch } = this.#node.replica;
    return { namespace: this.#node.config.namespace, logId, epoch, sequence };
  }

  /**
   * Becomes leader. Throws PROMOTION_REFUSED, NO_QUORUM (also without any proof of leadership), LEADER_LOCK_HELD, MANAGER_CLOSED, and
   * what the log throws; then it follows as before. Nothing when it leads already.
   */
  async promote(): Promise<void> {
    await this.#node.promote(false);
  }

  /**
   * Without asking anybody. On a plain pipeline this makes two leaders where one is alive; on a log it deposes the other. With an `election` in the
   * configuration writes go on wanting its valid term.
   */
  async unsafeForcePromote(): Promise<void> {
    await this.#node.promote(true);
  }

  /**
   * The old name of `unsafeForcePromote()`, for programs that call it: does so with `unsafeForcePromotion: true` in the configuration,
   * else throws PROMOTION_REFUSED.
   */
  async forcePromote(): Promise<void> {
    const { nodeId: node, unsafeForcePromotion } = this.#node.config;
    const problem = 'forcePromote() asks nobody, and unsafeForcePromotion is not set';
    if (!unsafeForcePromotion) throw replicationErrors.create('PROMOTION_REFUSED', { node, problem });
    await this.unsafeForcePromote();
  }

  /** Gives leadership up and follows. Writes under way are answered first. Nothing on a follower. Under `followElection` the term is given up too. */
  async demote(): Promise<void> {
    await this.#node.demote('requested');
  }

  /** Whom this node holds for the leader. */
  getLeaderId(): string | undefined {
    return this.#node.leaderId;
  }

  getNodeId(): string {
    return this.#node.config.nodeId;
  }

  /** The one that was given, which goes on belonging to the caller. */
  get stateStore(): StateStore {
    return this.#node.config.stateStore;
  }

  getRole(): ReplicationRole {
    return this.#node.role;
  }

  isClosed(): boolean {
    return this.#node.closed;
  }

  /** What the heartbeat service said last; true until it says anything. */
  isLeaderHealthy(): boolean {
    return this.#node.heartbeats.leaderHealthy;
  }

  canParticipateInElection(): boolean {
    return this.#node.config.promotionEligible && !this.#node.closed;
  }

  /** The quorum callback's answer; false without one. */
  async canAchieveQuorum(): Promise<boolean> {
    return this.#node.claim.hasQuorum();
  }

  /** For monitoring and acknowledgement levels. Nothing on a follower. */
  async registerFollower(nodeId: string): Promise<void> {
    if (this.#node.role === 'leader') this.#node.followers.register(nodeId);
  }

  async unregisterFollower(nodeId: string): Promise<void> {
    this.#node.followers.unregister(nodeId);
  }

  /** Of a registered follower. With a `progress` channel this happens by itself. */
  async reportFollowerProgress(nodeId: string, sequence: number): Promise<void> {
    this.#node.followers.report(nodeId, sequence);
  }

  getConnectedFollowers(): string[] {
    return this.#node.followers.ids();
  }

  /** In events; -1 for an unknown follower. */
  getFollowerLag(nodeId: string): number {
    const follower = this.#node.followers.get(nodeId);
    return follower === undefined ? -1 : this.#node.replica.applied - follower.lastReportedSequence;
  }

  /** Null on a follower. */
  getLeaderState(): LeaderState | null {
    if (this.#node.role !== 'leader') return null;
    const followers = this.#node.followers.all();
    const { epoch, fencingToken } = this.#node.claim;
    const currentSequence = this.#node.replica.applied;
    return { role: 'leader', currentSequence, followerCount: followers.size, followers, epoch, fencingToken };
  }

  /** Null on a leader. */
  getFollowerState(): FollowerState | null {
    if (this.#node.role !== 'follower') return null;
    const { applied: appliedSequence } = this.#node.replica;
    return { role: 'follower', appliedSequence, leaderId: this.#node.leaderId, isStale: this.isStale() };
  }

  getAppliedSequence(): number {
    return this.#node.replica.applied;
  }

  /** Events that are known of and not applied; 0 on a leader, and where the pipeline can't be read. */
  getReplicationLag(): number {
    return this.#node.role === 'leader' ? 0 : this.#node.replica.behind();
  }

  /** Reads what the pipeline has from there on (default: from the applied sequence). Resolves with how many events that brought. */
  async requestCatchUp(from?: number): Promise<number> {
    return this.#node.role === 'leader' ? 0 : this.#node.replica.catchUp(from);
  }

  /** Whether `rebuild()` can do it here: it needs an `EventLog`. */
  get canRebuild(): boolean {
    return this.#node.isLog;
  }

  /**
   * Throws the state of this follower away and makes it anew from the newest snapshot and the log; `getRecoveryProgress()` tells how far it is. Reads show
   * the old state, ever staler, until the new one takes its place in one commit. Throws RECOVERY_REFUSED on a leader, without an event
   * log, and for a state of a log that was made anew unless `discard` says so; MANAGER_CLOSED, SNAPSHOT_MISSING, SNAPSHOT_DAMAGED, and what log and stores throw: then nothing has changed.
   */
  async rebuild(options: RebuildOptions = {}): Promise<void> {
    await this.#node.rebuild(options);
  }

  getRecoveryProgress(): RecoveryProgress {
    return this.#node.replica.recovery;
  }

  hasLeaderLock(): boolean {
    return this.#node.claim.held;
  }

  getEpoch(): number {
    return this.#node.claim.epoch;
  }

  getFencingToken(): unknown {
    return this.#node.claim.fencingToken;
  }

  getMetrics(): { role: ReplicationRole; eventsEmitted: number; eventsApplied: number; nodeId: string } {
    const { emitted: eventsEmitted, applied: eventsApplied } = this.#node.metrics;
    return { role: this.#node.role, eventsEmitted, eventsApplied, nodeId: this.#node.config.nodeId };
  }

  /** Everything about this node, as plain data. */
  status(): LeaderFollowerStatus {
    const { nodeId, namespace } = this.#node.config;
    const { applied, end, recovery } = this.#node.replica;
    return {
      nodeId,
      namespace,
      role: this.#node.role,
      leaderId: this.#node.leaderId,
      epoch: this.#node.role === 'leader' ? this.#node.claim.epoch : this.#node.replica.epoch,
      appliedSequence: applied,
      endSequence: Math.max(end, applied),
      lag: this.getReplicationLag(),
      ageMs: this.#node.role === 'leader' ? 0 : this.#node.replica.ageMs(),
      isStale: this.isStale(),
      recovery,
      followers: [...this.#node.followers.all().values()].map((follower) => ({ ...follower })),
      lastError: this.#node.metrics.lastError,
    };
  }

  /** Steps down when somebody else leads; says who. On plain pipelines that is known inside this process only. */
  async reconcileWithPeer(_nodeId: string): Promise<{ resolved: true; winner: string | undefined }> {
    await this.detectNewLeader();
    return { resolved: true, winner: this.#node.leaderId };
  }

  /** Steps down when another leads; resolves with whether it did. */
  async detectNewLeader(): Promise<boolean> {
    const holder = this.#node.claim.processLock?.holder;
    if (this.#node.role !== 'leader' || holder === undefined || holder === this.#node.config.nodeId) return false;
    this.#node.leaderId = holder;
    await this.#node.demote('another leads');
    return true;
  }

  /** As `detectNewLeader`. The greater epoch stays, never the greater sequence: that may be the deposed leader's. */
  async resolveSplitBrain(): Promise<boolean> {
    return this.detectNewLeader();
  }

  /** Takes a snapshot now. Undefined without `snapshots`, or when a newer one is stored. */
  async takeSnapshot(): Promise<SnapshotInfo | undefined> {
    return this.#node.replica instanceof LogReplica ? this.#node.replica.snapshot() : undefined;
  }

  on<E extends ManagerEvent>(event: E, listener: ManagerListener<E>): this {
    this.#node.listeners.on(event, listener);
    return this;
  }

  off<E extends ManagerEvent>(event: E, listener: ManagerListener<E>): this {
    this.#node.listeners.off(event, listener);
    return this;
  }

  emit<E extends ManagerEvent>(event: E, payload: ManagerEvents[E]): void {
    this.#node.listeners.emit(event, payload);
  }

  removeAllListeners(event?: ManagerEvent): void {
    this.#node.listeners.clear(event);
  }

  /** Gives everything back; writes under way are answered, at worst as unknown. Idempotent. */
  close(): Promise<void> {
    return this.#node.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
