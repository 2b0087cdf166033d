/**
 * Who was heard of, and when: by this node's own monotonic clock since the last change that it saw, never by comparing wall clocks of
 * two machines. Invariant: each node's coming and going is told once, in turns.
 */
import { type Env, messageOf, type Timer } from '@canopy/core';

export type LeaderStatusCallback = (leaderId: string, alive: boolean) => void;

interface Heard {
  /** Monotonic. */
  at: number;
  wallAt: number;
  told: boolean;
}

/** A check that comes so much too late says more about this process, which stood still, than about the others. */
const LATE_MS = 1000;
const GRACE_MS = 500;

export class HeartbeatMonitor {
  readonly #env: Env;
  readonly #timeoutMs: number;
  readonly #heard = new Map<string, Heard>();
  readonly #callbacks = new Set<LeaderStatusCallback>();
  #timer: Timer | undefined;
  #closed = false;

  constructor(env: Env, timeoutMs: number) {
    this.#env = env;
    this.#timeoutMs = timeoutMs;
  }

  heard(nodeId: string): void {
    if (this.#closed) return;
    const { clock } = this.#env;
    const before = this.#heard.get(nodeId);
    const isNew = before === undefined || !before.told;
    this.#heard.set(nodeId, { at: clock.monotonic(), wallAt: clock.wall(), told: true });
    if (isNew) this.#tell(nodeId, true);
    this.#arm();
  }

  /** It said itself that it left. */
  gone(nodeId: string): void {
    const before = this.#heard.get(nodeId);
    this.#heard.delete(nodeId);
    if (before?.told) this.#tell(nodeId, false);
  }

  lastHeard(nodeId: string): number | null {
    return this.#heard.get(nodeId)?.wallAt ?? null;
  }

  isAlive(nodeId: string, timeoutMs: number): boolean {
    const heard = this.#heard.get(nodeId);
    return heard !== undefined && this.#env.clock.monotonic() - heard.at <= timeoutMs;
  }

  /** Tells what is known already in a moment, then each change. */
  onStatus(callback: LeaderStatusCallback): () => void {
    const mine: LeaderStatusCallback = (leaderId, alive) => callback(leaderId, alive);
    const known = [...this.#heard].map(([nodeId, { told }]) => [nodeId, told] as const);
    void Promise.resolve().then(() => {
      // What has changed since was told already.
      for (const [nodeId, told] of known)
        if (this.#callbacks.has(mine) && this.#heard.get(nodeId)?.told === told) this.#call(mine, nodeId, told);
    });
    this.#callbacks.add(mine);
    return () => void this.#callbacks.delete(mine);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#callbacks.clear();
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#closed) return;
    const alive = [...this.#heard.values()].filter(({ told }) => told);
    if (alive.length === 0) return;
    const dueAt = Math.min(...alive.map(({ at }) => at)) + this.#timeoutMs + 1;
    this.#wake(Math.max(1, dueAt - this.#env.clock.monotonic()));
  }

  #wake(ms: number): void {
    const { clock } = this.#env;
    const dueAt = clock.monotonic() + ms;
    this.#timer = clock.timer(
      ms,
      () => {
        this.#timer = undefined;
        if (clock.monotonic() - dueAt > LATE_MS) this.#wake(GRACE_MS);
        else this.#check();
      },
      { background: true },
    );
  }

  #check(): void {
    const now = this.#env.clock.monotonic();
    for (const [nodeId, heard] of this.#heard) {
      if (!heard.told || now - heard.at <= this.#timeoutMs) continue;
      heard.told = false;
      this.#tell(nodeId, false);
    }
    this.#arm();
  }

  #tell(nodeId: string, alive: boolean): void {
    for (const callback of [...this.#callbacks]) this.#call(callback, nodeId, alive);
  }

  #call(callback: LeaderStatusCallback, nodeId: string, alive: boolean): void {
    try {
      callback(nodeId, alive);
    } catch (error) {
      this.#env.log.error('replication_listener_failed', { event: 'leaderStatus', error: messageOf(error) });
    }
  }
}
