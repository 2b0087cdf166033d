/**
 * Judges a history of leadership: at any moment at most one holder per key, and epochs that grow. Times must come from
 * one clock (the machine's monotonic one). A holder that was killed has an interval that ends with its death.
 */
export interface LeadershipInterval {
  readonly key: string;
  readonly holder: string;
  readonly epoch: number;
  readonly fromMs: number;
  /** Undefined: still leader when the history ended. */
  readonly toMs: number | undefined;
}

export type LeadershipViolation =
  | {
      readonly type: 'overlap';
      readonly first: LeadershipInterval;
      readonly second: LeadershipInterval;
      readonly overlapMs: number;
    }
  | { readonly type: 'epoch_not_grown'; readonly first: LeadershipInterval; readonly second: LeadershipInterval }
  | { readonly type: 'backwards'; readonly interval: LeadershipInterval };

/** Everything that is wrong with the history; empty when it is sound. Touching intervals don't overlap. */
export function leadershipViolations(history: readonly LeadershipInterval[]): readonly LeadershipViolation[] {
  const violations: LeadershipViolation[] = [];
  for (const interval of history)
    if (endOf(interval) < interval.fromMs) violations.push({ type: 'backwards', interval });
  for (const intervals of byKey(history).values()) {
    const sorted = [...intervals].sort((a, b) => a.fromMs - b.fromMs);
    for (const [index, second] of sorted.entries()) {
      for (const first of sorted.slice(0, index)) {
        const overlapMs = Math.min(endOf(first), endOf(second)) - second.fromMs;
        if (overlapMs > 0) violations.push({ type: 'overlap', first, second, overlapMs });
      }
      const before = sorted[index - 1];
      if (before !== undefined && second.epoch <= before.epoch)
        violations.push({ type: 'epoch_not_grown', first: before, second });
    }
  }
  return violations;
}

/** True when two spans share more than an instant. */
export function intervalsOverlap(
  a: Pick<LeadershipInterval, 'fromMs' | 'toMs'>,
  b: Pick<LeadershipInterval, 'fromMs' | 'toMs'>,
): boolean {
  return Math.min(endOf(a), endOf(b)) > Math.max(a.fromMs, b.fromMs);
}

function endOf(interval: Pick<LeadershipInterval, 'toMs'>): number {
  return interval.toMs ?? Number.POSITIVE_INFINITY;
}

function byKey(history: readonly LeadershipInterval[]): ReadonlyMap<string, readonly LeadershipInterval[]> {
  return Map.groupBy(history, (interval) => interval.key);
}
