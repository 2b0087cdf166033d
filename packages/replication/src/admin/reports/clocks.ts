/**
 * How far the clocks of nodes are apart, as far as that can be told over a network. Invariant: the true offset lies within `boundMs` of what
 * is stated, and nothing is stated finer than that. Pure.
 */
import type { ReplicaClock } from '../managed-replica.ts';

/** Unix ms: `asked` and `received` by the asker's clock, `heard` and `answered` by the node's. */
export interface ClockSample {
  readonly asked: number;
  readonly heard: number;
  readonly answered: number;
  readonly received: number;
}

export interface ClockOffset {
  /** Above zero: the node's clock is ahead of the asker's. A multiple of a step that is not finer than the bound. */
  readonly offsetMs: number;
  readonly boundMs: number;
}

export interface ClockRow extends ClockOffset {
  readonly node: string;
  /** Against the median of all nodes, give or take both bounds. */
  readonly driftMs: number;
  readonly driftBoundMs: number;
  /** The shortest way there and back. */
  readonly roundTripMs: number;
  /** Of masters: how far the hybrid clock is ahead of the wall clock. */
  readonly aheadMs: number | undefined;
  /** Timestamps refused since the start, and the farthest that one lay ahead. */
  readonly rejected: number | undefined;
  readonly rejectedAheadMs: number | undefined;
}

export interface ClockFinding {
  readonly code: 'clock_drift' | 'own_clock' | 'clock_ahead' | 'timestamps_rejected' | 'silent';
  readonly node: string | undefined;
  readonly message: string;
}

export interface ClockComparison {
  readonly rows: readonly ClockRow[];
  readonly findings: readonly ClockFinding[];
}

/** Apart from each other by more than this needs a look: masters hold events from further ahead. */
export const DRIFT_MS = 60_000;

/** By the sample with the shortest way. Undefined without samples. */
export function offsetOf(
  samples: readonly ClockSample[],
): (ClockOffset & { readonly roundTripMs: number }) | undefined {
  const ways = samples.map((sample) => ({ sample, ms: wayMs(sample) }));
  const best = ways.sort((a, b) => a.ms - b.ms)[0];
  if (best === undefined) return undefined;
  const { asked, heard, answered, received } = best.sample;
  // Clocks are read to whole milliseconds by some: that much is not known either.
  const half = best.ms / 2 + 1;
  return { ...rounded((heard - asked + (answered - received)) / 2, half), roundTripMs: Math.ceil(best.ms) };
}

/** To a step of 1, 2 or 5 times a power of ten that is not below the bound; what rounding moved is added to the bound. */
export function rounded(offsetMs: number, boundMs: number): ClockOffset {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, boundMs)));
  const step = [1, 2, 5, 10].map((times) => times * power).find((one) => one >= boundMs) ?? 10 * power;
  const stated = Math.round(offsetMs / step) * step;
  return { offsetMs: stated === 0 ? 0 : stated, boundMs: Math.ceil(boundMs + Math.abs(offsetMs - stated)) };
}

export function compareClocks(
  nodes: readonly {
    readonly node: string;
    readonly samples: readonly ClockSample[];
    readonly clock: ReplicaClock | undefined;
  }[],
): ClockComparison {
  const measured = nodes.flatMap(({ node, samples, clock }) => {
    const offset = offsetOf(samples);
    return offset === undefined ? [] : [{ node, clock, ...offset }];
  });
  const middle = medianOf(measured);
  const rows = measured.map(({ node, clock, offsetMs, boundMs, roundTripMs }): ClockRow => {
    const drift =
      measured.length < 2 ? { offsetMs: 0, boundMs: 0 } : rounded(offsetMs - middle.offsetMs, boundMs + middle.boundMs);
    return {
      node,
      offsetMs,
      boundMs,
      driftMs: drift.offsetMs,
      driftBoundMs: drift.boundMs,
      roundTripMs,
      aheadMs: clock?.self.aheadMs,
      rejected: clock?.self.rejected,
      rejectedAheadMs: clock?.self.rejectedAheadMs,
    };
  });
  return { rows, findings: [...rows.flatMap(ofNode), ...ofAsker(middle, measured.length)] };
}

function ofNode({ node, driftMs, driftBoundMs, aheadMs, rejected, rejectedAheadMs }: ClockRow): ClockFinding[] {
  const findings: ClockFinding[] = [];
  const add = (code: ClockFinding['code'], message: string): void => void findings.push({ code, node, message });
  if (Math.abs(driftMs) - driftBoundMs > DRIFT_MS)
    add(
      'clock_drift',
      `its clock is ${seconds(driftMs)} ${driftMs > 0 ? 'ahead of' : 'behind'} the others: have it kept by NTP`,
    );
  if ((aheadMs ?? 0) > DRIFT_MS)
    add(
      'clock_ahead',
      `its logical time is ${seconds(aheadMs ?? 0)} ahead of its own clock: that clock was set back, or another node's ran ahead`,
    );
  if ((rejected ?? 0) > 0)
    add(
      'timestamps_rejected',
      `it refused ${rejected} timestamps, up to ${seconds(rejectedAheadMs ?? 0)} ahead of its clock`,
    );
  return findings;
}

function ofAsker({ offsetMs, boundMs }: ClockOffset, nodes: number): ClockFinding[] {
  if (nodes === 0 || Math.abs(offsetMs) - boundMs <= DRIFT_MS) return [];
  const message = `the clock of this machine is ${seconds(offsetMs)} ${offsetMs > 0 ? 'behind' : 'ahead of'} that of the nodes`;
  return [{ code: 'own_clock', node: undefined, message }];
}

/** Of an even number the lower one: with two nodes one of them is the measure, which of them can't be told. */
function medianOf(offsets: readonly ClockOffset[]): ClockOffset {
  const sorted = [...offsets].sort((a, b) => a.offsetMs - b.offsetMs);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? { offsetMs: 0, boundMs: 0 };
}

function wayMs({ asked, heard, answered, received }: ClockSample): number {
  return Math.max(0, received - asked - (answered - heard));
}

function seconds(ms: number): string {
  return `${Number((Math.abs(ms) / 1000).toFixed(1))} s`;
}
