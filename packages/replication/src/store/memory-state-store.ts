/** A state in memory that promises nothing beyond the life of its process: values are kept as they are given, not copied. */
import type { StateStore } from '../ports/state-store.ts';

export class MemoryStateStore implements StateStore {
  readonly #cells = new Map<string, { readonly value: unknown; readonly version: number }>();

  get(key: string): unknown {
    return this.#cells.get(key)?.value;
  }

  set(key: string, value: unknown): number {
    const version = this.getVersion(key) + 1;
    this.#cells.set(key, { value, version });
    return version;
  }

  delete(key: string): boolean {
    return this.#cells.delete(key);
  }

  has(key: string): boolean {
    return this.#cells.has(key);
  }

  getAll(): Map<string, unknown> {
    return new Map([...this.#cells].map(([key, { value }]) => [key, value]));
  }

  getVersion(key: string): number {
    return this.#cells.get(key)?.version ?? 0;
  }

  clear(): void {
    this.#cells.clear();
  }
}
