/** One fault from the blow to the node's return, as the load and the new active node saw it. */
import type { Clock } from '@canopy/core';
import type { TimelineEntry } from '@canopy/platform';
import type { Wake } from '../check/index.ts';
import type { Load } from '../load/index.ts';
import type { ClusterView } from './cluster-view.ts';
import type { Fault } from './faults.ts';

export interface Round {
  readonly fault: Fault;
  readonly from: string;
  readonly to: string;
  /** Monotonic ms of the blow; the timeline's times count from it. */
  readonly struckAt: number;
  /** The longest time without a served write, as the load saw it. */
  readonly gapMs: number;
  readonly timeline: readonly TimelineEntry[];
  /** How the struck node came back. */
  readonly wake: Wake | undefined;
  readonly divergences: readonly string[];
}

export interface RoundOptions {
  readonly load: Load;
  readonly view: ClusterView;
  readonly clock: Clock;
  readonly ttlMs: number;
  readonly signal: AbortSignal;
}

/** Writes that must be served by the new active node before a round counts as over. */
const SERVED_AGAIN = 25;

export async function runRound(fault: Fault, { load, view, clock, ttlMs, signal }: RoundOptions): Promise<Round> {
  const before = await view.active({ signal });
  const epoch = before.app.epoch ?? 0;
  const known = new Set(before.app.database?.divergences ?? []);
  const struckAt = clock.monotonic();
  try {
    await fault.strike(before);
    const after = await view.active({ above: epoch, timeoutMs: ttlMs * 4 + 20_000, signal });
    const servedFrom = clock.monotonic();
    while (load.acknowledgedSince(servedFrom) < SERVED_AGAIN) {
      if (clock.monotonic() - servedFrom > 20_000) throw new Error('writes are not served again');
      await clock.sleep(20, { signal });
    }
    const gap = load.gap(struckAt, clock.monotonic());
    const settled = await view.instance(after.node);
    const wake = await fault.heal(before.node);
    const back = await view.standby(before.node, { timeoutMs: 60_000, signal });
    return {
      fault,
      from: before.node.name,
      to: after.node.name,
      struckAt,
      gapMs: gap.ms,
      timeline: lastTransition(settled?.app.timeline ?? after.app.timeline, struckAt),
      wake,
      divergences: (back.app.database?.divergences ?? []).filter((directory) => !known.has(directory)),
    };
  } finally {
    // Also after ctrl-C: what is stopped could not follow the cluster's end.
    fault.calm();
  }
}

/** The entries from the loss (or the election) that followed the blow, up to serving. */
function lastTransition(timeline: readonly TimelineEntry[], sinceMs: number): readonly TimelineEntry[] {
  const recent = timeline.filter((entry) => entry.monotonic >= sinceMs);
  const start = recent.findLastIndex((entry) => entry.event === 'lost' || entry.event === 'elected');
  const lost = recent.findLastIndex((entry) => entry.event === 'lost');
  return recent.slice(Math.max(0, lost >= 0 && lost < start ? lost : start));
}
