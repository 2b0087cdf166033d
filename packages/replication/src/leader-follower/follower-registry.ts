/**
 * What a leader knows of its followers: who they are and how far they said they are. Reports may come late, twice or not at all; a lower
 * one than before is believed (a follower may lose its disk). Those that wait for n followers are answered by the reports.
 */
import type { Clock } from '@canopy/core';

export interface FollowerInfo {
  readonly nodeId: string;
  lastReportedSequence: number;
  /** Unix ms of this node, of the last report or the registration. */
  lastHeartbeat: number;
}

interface AckWaiter {
  readonly sequence: number;
  readonly count: number;
  settle(reached: number): void;
}

/** Beyond this, reports of unknown followers are not taken on. */
const FOLLOWERS_MAX = 1000;

export class FollowerRegistry {
  readonly #followers = new Map<string, FollowerInfo>();
  readonly #waiters = new Set<AckWaiter>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  register(nodeId: string): void {
    this.#followers.set(nodeId, { nodeId, lastReportedSequence: 0, lastHeartbeat: this.#clock.wall() });
  }

  unregister(nodeId: string): void {
    this.#followers.delete(nodeId);
  }

  /** Unknown followers are ignored, unless `admit`. */
  report(nodeId: string, sequence: number, admit = false): void {
    if (admit && !this.#followers.has(nodeId) && this.#followers.size < FOLLOWERS_MAX) this.register(nodeId);
    const follower = this.#followers.get(nodeId);
    if (follower === undefined) return;
    follower.lastReportedSequence = sequence;
    follower.lastHeartbeat = this.#clock.wall();
    for (const waiter of [...this.#waiters]) {
      const reached = this.reached(waiter.sequence);
      if (reached >= waiter.count) waiter.settle(reached);
    }
  }

  ids(): string[] {
    return [...this.#followers.keys()];
  }

  get(nodeId: string): FollowerInfo | undefined {
    return this.#followers.get(nodeId);
  }

  /** The map is a copy, its entries are not. */
  all(): Map<string, FollowerInfo> {
    return new Map(this.#followers);
  }

  /** How many have applied this sequence. */
  reached(sequence: number): number {
    return [...this.#followers.values()].filter((follower) => follower.lastReportedSequence >= sequence).length;
  }

  /** Resolves with how many have applied it: `count`, or fewer when the time is over. */
  async whenReached(sequence: number, count: number, timeoutMs: number): Promise<number> {
    const reached = this.reached(sequence);
    if (reached >= count) return reached;
    const { promise, resolve } = Promise.withResolvers<number>();
    const timer = this.#clock.timer(timeoutMs, () => waiter.settle(this.reached(sequence)));
    const waiter: AckWaiter = {
      sequence,
      count,
      settle: (result) => {
        this.#waiters.delete(waiter);
        timer.cancel();
        resolve(result);
      },
    };
    this.#waiters.add(waiter);
    return promise;
  }

  /** Answers those who wait with what there is. */
  close(): void {
    for (const waiter of [...this.#waiters]) waiter.settle(this.reached(waiter.sequence));
  }
}
