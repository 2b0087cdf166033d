/**
 * Random histories of one log: transactions, full images, merges and deletions by maintainers with views of different
 * age, each stopped after any step. After every single change of the bucket everything that is kept can be restored.
 */
import { epoch } from '@canopy/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { planCompaction } from '../../src/levels/planning.ts';
import { planRetention, type RetentionOptions } from '../../src/levels/retention.ts';
import { formatName, type LogEntry, type LogName } from '../../src/log/names.ts';
import { planRestore, type RestoreTarget } from '../../src/restore/plan.ts';

const INTERVALS = [30, 120, 600];
const POLICY: RetentionOptions = {
  keepMs: 50,
  keepCount: 2,
  keepSnapshotsMs: 900,
  keepSnapshots: 1,
  snapshotSpacingMs: 100,
};

class Bucket {
  readonly levels: boolean;
  now = 0;
  end = 0;
  objects = new Map<string, LogEntry>();
  #times: number[] = [0];

  constructor(levels = true) {
    this.levels = levels;
  }

  get entries(): LogEntry[] {
    return [...this.objects.values()];
  }

  /** Create-only. */
  put(name: LogName, timestamp: number): void {
    const text = formatName(name);
    if (this.objects.has(text)) return;
    const facts = { revision: 1, size: 100, epoch: epoch(1), node: 'a', digest: undefined, walEnd: undefined };
    const kind = name.minTxid === 1 ? 'snapshot' : 'commit';
    this.objects.set(text, { ...name, ...facts, name: text, kind, timestamp, storedAt: this.now, note: undefined });
    this.check();
  }

  append(): void {
    this.end++;
    this.#times.push(this.now);
    this.put({ level: 0, minTxid: this.end, maxTxid: this.end }, this.now);
  }

  snapshot(): void {
    if (this.end > 0) this.put({ level: 9, minTxid: 1, maxTxid: this.end }, this.#times[this.end] as number);
  }

  compact(view: readonly LogEntry[], steps: number): void {
    const seen = [...view];
    for (let i = 0; i < steps; i++) {
      const plan = planCompaction(seen, INTERVALS, this.now);
      if (plan === undefined) return;
      // Inputs that are gone by now end the attempt, as in the compactor.
      if (plan.inputs.some((input) => !this.objects.has(input.name))) return;
      this.put(plan, (plan.inputs.at(-1) as LogEntry).timestamp);
      seen.push(this.objects.get(formatName(plan)) as LogEntry);
    }
  }

  retain(view: readonly LogEntry[], steps: number): void {
    for (const { entry, coveredBy } of planRetention(view, this.now, { ...POLICY, levels: this.levels }).slice(
      0,
      steps,
    )) {
      if (coveredBy.some((cover) => !this.objects.has(cover.name))) return;
      this.objects.delete(entry.name);
      this.check();
    }
  }

  /** What the log promises, whatever was done to it. */
  check(): void {
    const { entries } = this;
    if (this.end === 0) return;
    expect(planRestore('b', entries).at(-1)?.maxTxid).toBe(this.end);
    // Before there is a snapshot, the history begins with whatever the first transaction was merged into.
    const images = entries.filter((entry) => entry.level === 9);
    const bases = images.length > 0 ? images : entries.filter((entry) => entry.minTxid === 1);
    const oldest = Math.min(...bases.map((entry) => entry.maxTxid));
    // Without merges a single transaction below an image may be what is left of a deletion.
    const covered = entries.filter((entry) => entry.level === 1 || !this.levels).map((entry) => entry.maxTxid);
    const merged = Math.max(0, ...covered);
    for (let txid = oldest; txid <= this.end; txid++) {
      expect(codeOf(entries, { txid })).not.toBe('SQLITE_LOG_GAP');
      const at = this.#times[txid] as number;
      const plan = planRestore('b', entries, { timestamp: at + 1 });
      // A moment gives at least the newest image and merge of before it, and everything that is not merged yet.
      const kept = entries.filter((entry) => entry.timestamp <= at && (entry.level !== 0 || entry.minTxid > merged));
      expect(plan.at(-1)?.maxTxid).toBeGreaterThanOrEqual(Math.max(0, ...kept.map((entry) => entry.maxTxid)));
    }
  }
}

function codeOf(entries: readonly LogEntry[], target: RestoreTarget): string | undefined {
  try {
    planRestore('b', entries, target);
  } catch (error) {
    return (error as { code: string }).code;
  }
  return undefined;
}

type Op =
  | { readonly do: 'append'; readonly count: number; readonly afterMs: number }
  | { readonly do: 'snapshot' }
  | { readonly do: 'look' }
  | { readonly do: 'compact' | 'retain'; readonly steps: number; readonly who: 'new' | 'old' };

const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      count: fc.integer({ min: 1, max: 5 }),
      afterMs: fc.integer({ min: 0, max: 200 }),
    }),
  },
  { weight: 1, arbitrary: fc.constantFrom<Op>({ do: 'snapshot' }, { do: 'look' }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('compact' as const, 'retain' as const),
      steps: fc.integer({ min: 1, max: 8 }),
      who: fc.constantFrom('new' as const, 'new' as const, 'old' as const),
    }),
  },
);

function run(ops: readonly Op[], levels: boolean): Bucket {
  const bucket = new Bucket(levels);
  let stale: LogEntry[] = [];
  for (const step of ops) {
    if (step.do === 'append') {
      bucket.now += step.afterMs;
      for (let i = 0; i < step.count; i++) bucket.append();
    } else if (step.do === 'snapshot') bucket.snapshot();
    else if (step.do === 'look') stale = bucket.entries;
    else {
      const view = step.who === 'old' ? stale : bucket.entries;
      if (step.do === 'retain') bucket.retain(view, step.steps);
      else if (levels) bucket.compact(view, step.steps);
    }
  }
  return bucket;
}

describe('histories', () => {
  test('with levels, everything from the oldest image on can be restored after every step', () => {
    fc.assert(
      fc.property(fc.array(op, { minLength: 5, maxLength: 60 }), (ops) => void run(ops, true)),
      { numRuns: 400 },
    );
  });

  test('level 1 has no hole of its own, and what is old and covered does go', () => {
    const bucket = new Bucket();
    for (let i = 0; i < 250; i++) {
      bucket.now += 7;
      bucket.append();
      if (i % 30 === 0) bucket.snapshot();
      if (i % 5 === 0) bucket.compact(bucket.entries, 8);
      if (i % 5 === 0) bucket.retain(bucket.entries, 1000);
    }
    const of = (level: number): LogEntry[] =>
      bucket.entries.filter((entry) => entry.level === level).sort((a, b) => a.minTxid - b.minTxid);
    for (const level of [1, 2, 3])
      for (const [i, entry] of of(level).entries())
        if (i > 0) expect(entry.minTxid).toBe((of(level)[i - 1] as LogEntry).maxTxid + 1);
    expect(of(0).length).toBeLessThan(25);
    // 900 ms of images, one per 100 ms, and of merges every 30 ms; 1750 ms have passed.
    expect(of(9).length).toBeLessThanOrEqual(11);
    expect(of(1).length).toBeLessThanOrEqual(42);
    expect(of(3).length).toBeGreaterThan(0);
  });

  test('without levels images free level 0, and the end can always be restored', () => {
    fc.assert(
      fc.property(fc.array(op, { minLength: 5, maxLength: 40 }), (ops) => {
        const bucket = run(
          ops.filter((step) => step.do !== 'compact'),
          false,
        );
        if (bucket.end > 0) expect(planRestore('b', bucket.entries).at(-1)?.maxTxid).toBe(bucket.end);
      }),
      { numRuns: 200 },
    );
  });
});
