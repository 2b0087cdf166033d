/**
 * By what right this node leads: an election's term, a lock service, a quorum, or the lock inside the process. Invariant: once a write
 * was refused because another leads, this right is gone until it is proven anew.
 */
import type { CanopyError, Clock } from '@canopy/core';
import { replicationErrors } from '../errors.ts';
import type { LeaderTerm } from '../ports/leadership.ts';
import type { ResolvedConfig } from './config.ts';
import { momentOf } from './plain/moment.ts';
import { type NamespaceLock, namespaceLocks } from './plain/namespace-locks.ts';

export interface Refusal {
  readonly code: 'NOT_LEADER' | 'STALE_LEADER';
  readonly leaderId: string | undefined;
}

export class LeadershipClaim {
  readonly #config: ResolvedConfig;
  readonly #clock: Clock;
  /** On a log, the log fences; on a plain pipeline only this lock does. */
  readonly #usesProcessLock: boolean;
  #held: boolean;
  #epoch: number;
  #token: unknown;
  #term: LeaderTerm | undefined;
  /** The lock service gave it, and has not got it back. */
  #serviceHeld = false;

  constructor(config: ResolvedConfig, clock: Clock, usesProcessLock: boolean) {
    this.#config = config;
    this.#clock = clock;
    this.#usesProcessLock = usesProcessLock;
    this.#held = config.role === 'leader';
    this.#epoch = config.role === 'leader' ? 1 : 0;
    this.#token = config.role === 'leader' ? 1 : null;
  }

  get held(): boolean {
    return this.#held;
  }

  get epoch(): number {
    return this.#epoch;
  }

  get fencingToken(): unknown {
    return this.#token;
  }

  get term(): LeaderTerm | undefined {
    return this.#term;
  }

  /** Of the process; undefined on a log. */
  get processLock(): NamespaceLock | undefined {
    return this.#usesProcessLock ? namespaceLocks.get(this.#config.namespace) : undefined;
  }

  /** The epoch that this term has in its log. */
  setEpoch(epoch: number): void {
    this.#epoch = epoch;
    this.#held = true;
    this.#token ??= epoch;
  }

  /** For a node that was constructed as leader. False: another has the right; nothing is thrown. */
  async begin(floor: number): Promise<boolean> {
    const { election, distributedLock, nodeId, namespace, lockTimeoutMs } = this.#config;
    if (election !== undefined) {
      this.#term = election.leadership;
      this.#held = this.#term?.isValid() === true;
      if (!this.#held) return false;
      this.#epoch = (this.#term as LeaderTerm).epoch;
      this.#token = this.#epoch;
    }
    if (distributedLock !== undefined) {
      const token = await distributedLock.tryAcquireLock(nodeId);
      this.#held = token !== null && token !== undefined;
      if (!this.#held) return false;
      this.#takeToken(token);
    }
    if (!this.#usesProcessLock) return true;
    const now = momentOf(this.#clock);
    const lock = namespaceLocks.take(namespace, nodeId, now, { timeoutMs: lockTimeoutMs, floor, keep: true });
    if (lock === undefined) return false;
    this.#epoch = Math.max(this.#epoch, lock.epoch);
    if (distributedLock === undefined) this.#token = lock.fencingToken;
    return true;
  }

  /** For a promotion. Throws PROMOTION_REFUSED, NO_QUORUM, LEADER_LOCK_HELD. The epoch is greater than `floor`. */
  async prove(floor: number, force = false): Promise<void> {
    const { nodeId, promotionEligible, election, distributedLock, quorumCallback, allowUnprovenPromotion } =
      this.#config;
    if (!promotionEligible)
      throw replicationErrors.create('PROMOTION_REFUSED', { node: nodeId, problem: 'it was configured so' });
    const proven = force || allowUnprovenPromotion || election !== undefined || distributedLock !== undefined;
    if (!proven && quorumCallback === undefined)
      throw noQuorum(nodeId, 'neither an election, a lock service nor a quorum callback was given');
    if (!force && quorumCallback !== undefined && !(await this.hasQuorum()))
      throw noQuorum(nodeId, 'the quorum callback does not agree');
    const term = election?.leadership;
    if (!force && election !== undefined && term?.isValid() !== true)
      throw noQuorum(nodeId, 'it holds no valid term of its election');
    const token = await distributedLock?.tryAcquireLock(nodeId);
    if (distributedLock !== undefined && !force && (token === null || token === undefined))
      throw this.#lockHeld(undefined);
    this.#term = term;
    let epoch = Math.max(floor + 1, term?.epoch ?? 0);
    if (this.#usesProcessLock) epoch = this.#takeProcessLock(floor, force || distributedLock !== undefined);
    this.#epoch = Math.max(epoch, term?.epoch ?? 0);
    this.#token = this.#epoch;
    if (token !== null && token !== undefined) this.#takeToken(token);
    this.#held = true;
  }

  /** False without a callback. */
  async hasQuorum(): Promise<boolean> {
    const { quorumCallback, nodeId } = this.#config;
    return quorumCallback === undefined ? false : (await quorumCallback(nodeId, 'promote')) === true;
  }

  /** Whether the election's term, if there is one, is valid about now. */
  mayLead(): boolean {
    return this.#config.election === undefined || this.#term?.isValid() === true;
  }

  /** Before a write. A promise only where a lock service must be asked. */
  refusal(): Refusal | undefined | Promise<Refusal | undefined> {
    const { nodeId, namespace, distributedLock } = this.#config;
    // Where something else says who leads, it is certainly not this node.
    const isKnown = this.#usesProcessLock && this.#config.election === undefined;
    if (!this.#held) return { code: 'NOT_LEADER', leaderId: isKnown ? nodeId : undefined };
    if (!this.mayLead()) return this.#stale(undefined);
    const lock = this.processLock;
    if (lock?.holder !== undefined && (lock.holder !== nodeId || lock.epoch > this.#epoch))
      return this.#stale(lock.holder);
    if (distributedLock?.getCurrentHolder !== undefined) return this.#askService();
    if (this.#usesProcessLock) namespaceLocks.refresh(namespace, nodeId, momentOf(this.#clock));
    return undefined;
  }

  /** The right is gone. */
  drop(): void {
    this.#held = false;
    this.#term = undefined;
  }

  async release(): Promise<void> {
    const { nodeId, namespace, distributedLock } = this.#config;
    this.drop();
    if (this.#usesProcessLock) namespaceLocks.release(namespace, nodeId);
    if (!this.#serviceHeld) return;
    this.#serviceHeld = false;
    await distributedLock?.releaseLock(nodeId);
  }

  #takeProcessLock(floor: number, force: boolean): number {
    const { nodeId, namespace, lockTimeoutMs } = this.#config;
    const now = momentOf(this.#clock);
    const lock = namespaceLocks.take(namespace, nodeId, now, { timeoutMs: lockTimeoutMs, floor, force });
    if (lock === undefined) throw this.#lockHeld(namespaceLocks.get(namespace)?.holder);
    return lock.epoch;
  }

  /** The service may be away: then nothing is proven. */
  async #askService(): Promise<Refusal | undefined> {
    const { distributedLock, nodeId } = this.#config;
    try {
      const holder = await distributedLock?.getCurrentHolder?.();
      return typeof holder === 'string' && holder !== nodeId ? this.#stale(holder) : undefined;
    } catch {
      return { code: 'STALE_LEADER', leaderId: undefined };
    }
  }

  #takeToken(token: unknown): void {
    this.#token = token;
    this.#serviceHeld = true;
    if (typeof token === 'number') this.#epoch = Math.max(this.#epoch, token);
  }

  #stale(leaderId: string | undefined): Refusal {
    this.drop();
    return { code: 'STALE_LEADER', leaderId };
  }

  #lockHeld(holder: string | undefined): CanopyError {
    return replicationErrors.create('LEADER_LOCK_HELD', {
      node: this.#config.nodeId,
      holder: holder ?? 'another node',
    });
  }
}

function noQuorum(node: string, problem: string): CanopyError {
  return replicationErrors.create('NO_QUORUM', { node, problem });
}
