/** A plain state store made to keep a position, in memory: after a restart it begins where it is told to. */
import type { DurableStateStore, ReplicaPosition, StateChange, StateStore } from '../../ports/state-store.ts';

const BATCH = 500;

export function withVolatilePosition(store: StateStore, sequence: number): DurableStateStore {
  let position: ReplicaPosition = { sequence, epoch: 0 };
  const change = ({ key, value }: StateChange): void => {
    if (value === undefined) store.delete(key);
    else store.set(key, value);
  };
  return {
    get: (key) => store.get(key),
    set: (key, value) => store.set(key, value),
    delete: (key) => store.delete(key),
    has: (key) => store.has(key),
    getAll: () => store.getAll(),
    getVersion: (key) => store.getVersion(key),
    position: () => position,
    apply(changes, next) {
      for (const one of changes) change(one);
      position = next;
    },
    async replace(batches, next) {
      const entries: StateChange[] = [];
      for await (const batch of batches) entries.push(...batch);
      for (const key of [...store.getAll().keys()]) store.delete(key);
      for (const entry of entries) change(entry);
      position = next;
    },
    snapshot() {
      const all = [...store.getAll()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => ({ key, value }));
      const batches = Array.from({ length: Math.ceil(all.length / BATCH) }, (_, i) =>
        all.slice(i * BATCH, (i + 1) * BATCH),
      );
      return { position, entries: batches };
    },
  };
}
