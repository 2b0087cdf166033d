/** A store in memory that dies on demand: what it had committed is what the next life finds. */
import type { AtomicStore, Json, ScanOptions, StoreChange } from '../../src/index.ts';

export class SmallStore implements AtomicStore {
  readonly spaces = new Map<string, Map<string, Json>>();
  /** Asked before and after each commit; throws to crash there. */
  crash: ((moment: 'before-commit' | 'after-commit') => void) | undefined;

  get(space: string, key: string): Json | undefined {
    return this.spaces.get(space)?.get(key);
  }
  commit(changes: readonly StoreChange[]): void {
    this.crash?.('before-commit');
    for (const { space, key, value } of changes) {
      const table = this.spaces.get(space) ?? new Map<string, Json>();
      this.spaces.set(space, table);
      if (value === undefined) table.delete(key);
      else table.set(key, JSON.parse(JSON.stringify(value)) as Json);
    }
    this.crash?.('after-commit');
  }
  scan(space: string, options: ScanOptions = {}): readonly (readonly [string, Json])[] {
    const { after = '', prefix = '', limit = 1000 } = options;
    const rows = [...(this.spaces.get(space) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
    return rows.filter(([key]) => key > after && key.startsWith(prefix)).slice(0, limit);
  }
  count(space: string): number {
    return this.spaces.get(space)?.size ?? 0;
  }
  close(): void {}
}
