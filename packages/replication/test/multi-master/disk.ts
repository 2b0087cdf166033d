/** An atomic store in memory that outlives those who use it, as a disk does; who has died can't change it any more. */
import type { AtomicStore, Json, ScanOptions, StoreChange } from '../../src/index.ts';

export class Disk {
  readonly spaces = new Map<string, Map<string, string>>();
  commits = 0;
  /** May change what a commit does: a planted mistake. */
  tamper: ((changes: readonly StoreChange[]) => readonly StoreChange[]) | undefined;

  open(): AtomicStore & { die(): void } {
    let alive = true;
    const space = (name: string): Map<string, string> => {
      const found = this.spaces.get(name) ?? new Map<string, string>();
      this.spaces.set(name, found);
      return found;
    };
    return {
      die: () => {
        alive = false;
      },
      get: (name, key) => {
        const text = space(name).get(key);
        return text === undefined ? undefined : (JSON.parse(text) as Json);
      },
      commit: (given) => {
        if (!alive) throw new Error('this process is dead');
        this.commits += 1;
        for (const { space: name, key, value } of this.tamper?.(given) ?? given) {
          if (value === undefined) space(name).delete(key);
          else space(name).set(key, JSON.stringify(value));
        }
      },
      scan: (name, { after = '', prefix = '', limit = 1000 }: ScanOptions = {}) =>
        [...space(name).keys()]
          .filter((key) => key > after && key.startsWith(prefix))
          .sort()
          .slice(0, limit)
          .map((key) => [key, JSON.parse(space(name).get(key) as string) as Json] as const),
      count: (name) => space(name).size,
      close: () => {},
    };
  }

  /** What it has now, on another disk. */
  copy(): Disk {
    const copy = new Disk();
    for (const [name, entries] of this.spaces) copy.spaces.set(name, new Map(entries));
    copy.commits = this.commits;
    return copy;
  }

  get<T>(name: string, key: string): T | undefined {
    const text = this.spaces.get(name)?.get(key);
    return text === undefined ? undefined : (JSON.parse(text) as T);
  }

  set(name: string, key: string, value: unknown): void {
    this.spaces.get(name)?.set(key, JSON.stringify(value));
  }
}
