/** Hybrid time of a master's own writes, and of what it takes over. */
import type { HybridClock } from '../clock/hybrid-clock.ts';
import { COUNTER_MAX, formatHybridTimestamp, WALL_MS_MAX } from '../clock/hybrid-timestamp.ts';
import { type EntityRecord, latestVersion } from './entity-record.ts';
import type { Change } from './event.ts';

export interface WriteStamp {
  readonly wallMs: number;
  readonly counter: number;
}

/** Later than all that this master has seen, and than what it replaces, also where that was let in from the future. */
export function stampAfter(clock: HybridClock, record: EntityRecord | undefined): WriteStamp {
  const { wallMs, counter } = clock.now();
  const last = record === undefined ? undefined : latestVersion(record.versions);
  if (last === undefined || wallMs > last.wallMs || (wallMs === last.wallMs && counter > last.counter))
    return { wallMs, counter };
  return last.counter < COUNTER_MAX
    ? { wallMs: last.wallMs, counter: last.counter + 1 }
    : { wallMs: last.wallMs + 1, counter: 0 };
}

/** How far a change lies beyond what the clock allows, ms; 0: it may take effect. */
export function excessOf(clock: HybridClock, { wallMs, counter, author }: Change): number {
  return clock.excessMs({ wallMs, counter, nodeId: author });
}

/** Takes over the time of a change that takes effect. Times that no hybrid clock made (negative, with fractions) are rounded. */
export function takeOver(clock: HybridClock, { wallMs, counter }: Change): void {
  const rounded = Math.min(WALL_MS_MAX, Math.max(0, Math.floor(wallMs)));
  const timestamp = { wallMs: rounded, counter, nodeId: clock.nodeId };
  if (clock.excessMs(timestamp) === 0) clock.observe(timestamp);
}

/** As events carry it. */
export function hlcText(wallMs: number, counter: number, nodeId: string): string {
  return formatHybridTimestamp({ wallMs, counter, nodeId });
}

/** Of texts of hybrid timestamps, where there are any. */
export function latestHlc(...texts: readonly (string | null | undefined)[]): string | undefined {
  return texts
    .filter((text) => typeof text === 'string')
    .sort()
    .at(-1);
}
