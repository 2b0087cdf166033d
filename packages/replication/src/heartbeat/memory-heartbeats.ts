/** Heartbeats in memory, for tests and simulation: one `MemoryHeartbeats` is what all nodes share, `connect` gives each its own ears. */
import { type Clock, type Env, systemClock, systemEnv } from '@canopy/core';
import type { Heartbeats } from './kv-heartbeats.ts';
import { HeartbeatMonitor, type LeaderStatusCallback } from './monitor.ts';

export interface MemoryHeartbeatOptions {
  /** Default: the system's. */
  readonly clock?: Clock;
  /** As of `kvHeartbeats`. Default 5000. */
  readonly timeoutMs?: number;
}

/** What becomes of one beat on its way to one node. */
export interface MemoryBeatFault {
  readonly lost?: boolean;
  readonly delayMs?: number;
}

export class MemoryHeartbeats {
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** Asked for every beat and every listener; may be replaced at any time. */
  fault: ((from: string, to: string) => MemoryBeatFault | undefined) | undefined;
  readonly #ears = new Map<string, Set<HeartbeatMonitor>>();
  /** Who has beaten: a later listener finds their keys. */
  readonly #beaten = new Set<string>();

  constructor(options: MemoryHeartbeatOptions = {}) {
    this.clock = options.clock ?? systemClock;
    this.timeoutMs = options.timeoutMs ?? 5000;
  }

  /** `node` is what the fault hook sees. */
  connect(node: string, env: Env = systemEnv({ clock: this.clock })): Heartbeats {
    const monitor = new HeartbeatMonitor(env, this.timeoutMs);
    const ears = this.#ears.get(node) ?? new Set();
    this.#ears.set(node, ears.add(monitor));
    for (const nodeId of this.#beaten) this.#carry(nodeId, node, monitor);
    const close = async (): Promise<void> => {
      monitor.close();
      ears.delete(monitor);
    };
    return {
      sendHeartbeat: async (nodeId) => {
        if (ears.has(monitor)) this.#beat(nodeId);
      },
      getLastHeartbeat: (nodeId) => monitor.lastHeard(nodeId),
      isAlive: (nodeId, timeoutMs) => monitor.isAlive(nodeId, timeoutMs),
      onLeaderStatus: (callback: LeaderStatusCallback) => monitor.onStatus(callback),
      close,
      [Symbol.asyncDispose]: close,
    };
  }

  #beat(nodeId: string): void {
    this.#beaten.add(nodeId);
    for (const [node, ears] of this.#ears) for (const monitor of ears) this.#carry(nodeId, node, monitor);
  }

  #carry(nodeId: string, to: string, monitor: HeartbeatMonitor): void {
    const { lost = false, delayMs = 0 } = this.fault?.(nodeId, to) ?? {};
    if (lost) return;
    if (delayMs > 0) this.clock.timer(delayMs, () => monitor.heard(nodeId), { background: true });
    else monitor.heard(nodeId);
  }
}
