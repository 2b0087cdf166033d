/** A durable state store in memory: what it holds outlives the manager that uses it, and a commit can be made to fail. */
import type { DurableStateStore, ReplicaPosition, StateChange } from '@canopy/replication';
import { MapStore } from './plain-pipeline.ts';

export class MemoryState extends MapStore implements DurableStateStore {
  commits = 0;
  failing: Error | undefined;
  #position: ReplicaPosition = { sequence: 0, epoch: 0 };

  position(): ReplicaPosition {
    return this.#position;
  }

  apply(changes: readonly StateChange[], position: ReplicaPosition): void {
    if (this.failing !== undefined) throw this.failing;
    this.commits += 1;
    this.#change(changes);
    this.#position = position;
  }

  async replace(entries: AsyncIterable<readonly StateChange[]>, position: ReplicaPosition): Promise<void> {
    const all: StateChange[] = [];
    for await (const batch of entries) all.push(...batch);
    this.entries.clear();
    this.#change(all);
    this.#position = position;
  }

  snapshot(): { position: ReplicaPosition; entries: Iterable<readonly StateChange[]> } {
    const entries = [...this.getAll()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => ({ key, value }));
    return { position: this.#position, entries: [entries] };
  }

  /** Equal for equal states. */
  text(): string {
    return JSON.stringify([...this.getAll()].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  #change(changes: readonly StateChange[]): void {
    for (const { key, value } of changes) {
      if (value === undefined) this.delete(key);
      else this.set(key, value);
    }
  }
}
