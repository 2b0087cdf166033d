/**
 * The store of a replica of a log, as the log sees it: values in and out are those of its records, encoded. A store that keeps such values gets them
 * as they are; any other one gets values that merge restored, and where this process does not know their kind, the JSON.
 */
import { decodeRecord, encodeRecord } from '../../crdt/record-codec.ts';
import type {
  DurableStateStore,
  EncodedState,
  ReplicaPosition,
  StateChange,
  StateSnapshot,
} from '../../ports/state-store.ts';

/** `nodeId` goes on changing the values that merge. */
export function encodedState(store: DurableStateStore, nodeId: string): EncodedState {
  if (store.encoded !== undefined) return store.encoded;
  const decoded = (changes: readonly StateChange[]): StateChange[] =>
    changes.map(({ key, value }) => ({ key, value: restored(value, nodeId) }));
  return {
    apply: (changes, position) => store.apply(decoded(changes), position),
    replace: (entries, position: ReplicaPosition) => store.replace(mapped(entries, decoded), position),
    snapshot: (): StateSnapshot => {
      const snapshot = store.snapshot();
      return { ...snapshot, entries: encodedEntries(snapshot.entries) };
    },
  };
}

/** What a record holds is no reason to stop, and what this process makes of it no reason to refuse it. */
function restored(value: unknown, nodeId: string): unknown {
  try {
    return decodeRecord(value, nodeId);
  } catch {
    return value;
  }
}

function* encodedEntries(batches: Iterable<readonly StateChange[]>): Generator<readonly StateChange[]> {
  for (const batch of batches) yield batch.map(({ key, value }) => ({ key, value: encodeRecord(value) }));
}

async function* mapped(
  batches: AsyncIterable<readonly StateChange[]>,
  map: (batch: readonly StateChange[]) => readonly StateChange[],
): AsyncGenerator<readonly StateChange[]> {
  for await (const batch of batches) yield map(batch);
}
