/** What the state of the kill test holds at a position. */
import type { StateChange } from '../../src/index.ts';

export function entriesAt(sequence: number): StateChange[] {
  const count = sequence === 0 ? 0 : 50 + ((sequence * 37) % 400);
  return Array.from({ length: count }, (_, i) => ({
    key: `key-${String(i).padStart(4, '0')}`,
    value: { sequence, filler: 'x'.repeat((i * sequence) % 97) },
  }));
}
