/** Nodes on one log in memory, under a clock that moves when it is told to. */
import { type Env, systemEnv } from '@canopy/core';
import { seededRandom, VirtualClock } from '@canopy/core/testing';
import { type LeaderFollowerConfig, LeaderFollowerManager, MemoryLog, type ReplicationRole } from '@canopy/replication';
import { MemoryState } from './memory-state.ts';

export class NodesOnALog implements AsyncDisposable {
  readonly clock = new VirtualClock();
  readonly env: Env = systemEnv({ clock: this.clock, random: seededRandom('nodes') });
  readonly log = new MemoryLog('tenant', { clock: this.clock });
  readonly stores = new Map<string, MemoryState>();
  readonly #managers: LeaderFollowerManager[] = [];

  node(nodeId: string, role: ReplicationRole, more: Partial<LeaderFollowerConfig> = {}): LeaderFollowerManager {
    const stateStore = this.store(nodeId);
    const pipeline = this.log.connect(nodeId);
    const base = { nodeId, role, pipeline, stateStore, namespace: 'tenant', quorumCallback: async () => true };
    const manager = new LeaderFollowerManager({ ...base, ...more }, this.env);
    this.#managers.push(manager);
    return manager;
  }

  /** Of this node; it outlives its managers. */
  store(nodeId: string): MemoryState {
    const store = this.stores.get(nodeId) ?? new MemoryState();
    this.stores.set(nodeId, store);
    return store;
  }

  /** Started, and caught up. */
  async started(nodeId: string, role: ReplicationRole, more: Partial<LeaderFollowerConfig> = {}) {
    const manager = this.node(nodeId, role, more);
    await this.pass(manager.start());
    return manager;
  }

  /** Lets time pass until it is settled, 60 s at most. */
  async pass<T>(work: Promise<T>): Promise<T> {
    let settled = false;
    const done = (): void => {
      settled = true;
    };
    work.then(done, done);
    for (let i = 0; i < 6000 && !settled; i++) await this.clock.advance(i < 20 ? 0 : 10);
    return work;
  }

  /** Lets time pass until it holds. */
  async until(holds: () => boolean): Promise<void> {
    for (let i = 0; i < 6000 && !holds(); i++) await this.clock.advance(i < 20 ? 1 : 10);
    if (!holds()) throw new Error(`not within a minute: ${holds}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.log.fault = undefined;
    await this.pass(Promise.all(this.#managers.map((manager) => manager.close())));
  }
}

export const put = (manager: LeaderFollowerManager, key: string, value: unknown = key) =>
  manager.write({ key, value, operation: 'update' });
