/** Chance, injected so that a run can be repeated from its seed. */
export interface Random {
  /** 0 <= x < 1. */
  next(): number;
  /** Whole number, 0 <= n < bound. */
  int(bound: number): number;
  /** A version-4 UUID; unpredictable only from the system's source. */
  uuid(): string;
}

/** One of the items. */
export function pick<T>(random: Random, items: readonly T[]): T {
  return items[random.int(items.length)] as T;
}
