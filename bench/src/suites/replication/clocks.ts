/** What it costs to order two writes. Baselines: the same loop over plain records, unchecked; one look at the clock. */
import { systemClock } from '@canopy/core';
import { HybridClock, VectorClock } from '@canopy/replication';
import type { Report } from '../../harness.ts';
import { inTurns } from './turns.ts';

const NODES = 10;

export function measureClocks(report: Report, calls: number): void {
  const records = [1, 2].map((step) =>
    Object.fromEntries(Array.from({ length: NODES }, (_, i) => [`node-${i}`, 7 + step * i])),
  );
  const [a, b] = records as [Record<string, number>, Record<string, number>];
  const [clockA, clockB] = [new VectorClock(a), new VectorClock(b)];
  const hybrid = new HybridClock({ nodeId: 'bench' });
  const ms = inTurns({
    compare: () => () => count(calls, () => VectorClock.compare(clockA, clockB) === 'before'),
    plain: () => () => count(calls, () => isBefore(a, b)),
    now: () => () => count(calls, () => hybrid.now().counter >= 0),
    wall: () => () => count(calls, () => systemClock.wall() > 0),
  });
  const ns = (name: keyof typeof ms): number => (ms[name] * 1e6) / calls;
  report.figure('vector_clock_compare_10', 'ns', ns('compare'), ns('plain'), { of: 'value', atMost: 300 });
  report.figure('hybrid_now', 'ns', ns('now'), ns('wall'));
}

function isBefore(a: Record<string, number>, b: Record<string, number>): boolean {
  let less = false;
  for (const node in a) {
    const [mine, theirs] = [a[node] as number, b[node] ?? 0];
    if (mine > theirs) return false;
    if (mine < theirs) less = true;
  }
  return less;
}

/** How often it was true. */
function count(calls: number, ask: () => boolean): number {
  let found = 0;
  for (let i = 0; i < calls; i++) if (ask()) found++;
  return found;
}
