/** A figure counts only when all replicas that it was measured on show the same in the end. */
import { type DurableStateStore, StateHash } from '@canopy/replication';

/** Of all entries, read as they are now. */
export function stateHashOf(state: DurableStateStore): string {
  const hash = new StateHash();
  for (const batch of state.snapshot().entries) for (const { key, value } of batch) hash.add(key, value);
  return hash.digest();
}

export function requireEqual(what: string, hashes: readonly string[]): void {
  if (new Set(hashes).size !== 1) throw new Error(`${what} differ: ${hashes.join(', ')}`);
}
