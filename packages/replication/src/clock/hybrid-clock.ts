/**
 * Timestamps that respect cause and effect on nodes whose wall clocks disagree: each is later than everything this node has
 * said or taken over before, and close to the wall clock otherwise. A timestamp from too far ahead is refused, or one wrong
 * clock would drag all others into the future. Going back in wall time, or a restart with a floor, never repeats one.
 */
import {
  type Duration,
  type Env,
  formatDuration,
  nameProblem,
  noMetrics,
  resolveOptions,
  silentLogger,
  systemClock,
} from '@canopy/core';
import { replicationErrors } from '../errors.ts';
import { CLOCK_AHEAD, CLOCK_REJECTIONS } from '../metrics.ts';
import {
  COUNTER_MAX,
  checkHybridTimestamp,
  compareHybridTimestamps,
  formatHybridTimestamp,
  type HybridTimestamp,
  parseHybridTimestamp,
  WALL_MS_MAX,
} from './hybrid-timestamp.ts';

export interface HybridClockOptions {
  /** As node names: 1 to 63 letters, digits, `-`, `_`. Unique among the nodes whose timestamps meet. */
  readonly nodeId: string;
  /** How far ahead of this node's wall clock another's timestamp may lie. Default 60 s. */
  readonly maxDrift?: Duration;
  /**
   * The greatest timestamp that this node stored in an earlier life, its own or another's. Without it, a node that restarts
   * after its wall clock was set back may repeat timestamps.
   */
  readonly floor?: HybridTimestamp | string | undefined;
}

/** What a report on clocks shows of one node. */
export interface HybridClockStatus {
  readonly nodeId: string;
  readonly last: HybridTimestamp | undefined;
  /** How far the clock has run ahead of the wall clock, in milliseconds; 0 when it has not. */
  readonly aheadMs: number;
  /** Timestamps refused since the start, and the farthest that one lay ahead. */
  readonly rejected: number;
  readonly rejectedAheadMs: number;
}

export class HybridClock {
  readonly nodeId: string;
  readonly maxDriftMs: number;
  readonly #env: Pick<Env, 'clock' | 'log' | 'metrics'>;
  #last: HybridTimestamp | undefined;
  #rejected = 0;
  #rejectedAheadMs = 0;

  /** Throws OPTIONS_INVALID, or HYBRID_TIMESTAMP_INVALID for the floor. */
  constructor(options: HybridClockOptions, env: Partial<Pick<Env, 'clock' | 'log' | 'metrics'>> = {}) {
    this.#env = { clock: systemClock, log: silentLogger, metrics: noMetrics, ...env };
    const { nodeId, maxDriftMs, floor } = resolveOptions('HybridClock', options, (read) => {
      const resolved = {
        nodeId: read.string('nodeId', { required: true }),
        maxDriftMs: read.durationMs('maxDrift', { default: 60_000, minMs: 1 }),
        floor: read.any<HybridTimestamp | string | undefined>('floor'),
      };
      const problem = resolved.nodeId === '' ? undefined : nameProblem('node', resolved.nodeId);
      read.check(problem === undefined, 'nodeId', `is not allowed: ${problem}`);
      return resolved;
    });
    this.nodeId = nodeId;
    this.maxDriftMs = maxDriftMs;
    if (floor !== undefined)
      this.#last = typeof floor === 'string' ? parseHybridTimestamp(floor) : checkHybridTimestamp({ ...floor });
  }

  /** The greatest timestamp said or taken over so far, or the floor; what to keep as the next life's floor. */
  get last(): HybridTimestamp | undefined {
    return this.#last;
  }

  /** How many timestamps were refused since the start. */
  get rejected(): number {
    return this.#rejected;
  }

  /** The timestamp of a write that happens now: later than all that this clock has seen. Throws after the year 10889. */
  now(): HybridTimestamp {
    const wallMs = Math.max(0, Math.floor(this.#env.clock.wall()));
    const last = this.#last;
    const next =
      last === undefined || wallMs > last.wallMs
        ? { wallMs, counter: 0, nodeId: this.nodeId }
        : { ...successor(last), nodeId: this.nodeId };
    if (next.wallMs > WALL_MS_MAX) checkHybridTimestamp(next);
    this.#last = next;
    return next;
  }

  /** Milliseconds by which a timestamp is too far ahead; 0 when it would be taken over. Changes and counts nothing. */
  excessMs(timestamp: HybridTimestamp): number {
    return Math.max(0, timestamp.wallMs - this.#env.clock.wall() - this.maxDriftMs);
  }

  /**
   * Takes over the timestamp of an event from another node, so that whatever is written here from now on is later. Throws
   * HYBRID_CLOCK_DRIFT, counts and logs when it lies more than `maxDrift` ahead, HYBRID_TIMESTAMP_INVALID when it is none; the
   * clock is then as before.
   */
  observe(timestamp: HybridTimestamp | string): HybridTimestamp {
    const seen = typeof timestamp === 'string' ? parseHybridTimestamp(timestamp) : checkHybridTimestamp(timestamp);
    if (this.excessMs(seen) > 0) throw this.#reject(seen);
    if (this.#last === undefined || compareHybridTimestamps(seen, this.#last) > 0) this.#last = { ...seen };
    return seen;
  }

  /** The facts for a report; also sets the gauge. */
  status(): HybridClockStatus {
    const aheadMs = this.#last === undefined ? 0 : Math.max(0, this.#last.wallMs - this.#env.clock.wall());
    this.#env.metrics.gauge(CLOCK_AHEAD).set(aheadMs, { node: this.nodeId });
    return {
      nodeId: this.nodeId,
      last: this.#last,
      aheadMs,
      rejected: this.#rejected,
      rejectedAheadMs: this.#rejectedAheadMs,
    };
  }

  #reject(timestamp: HybridTimestamp) {
    const aheadMs = Math.ceil(timestamp.wallMs - this.#env.clock.wall());
    this.#rejected++;
    this.#rejectedAheadMs = Math.max(this.#rejectedAheadMs, aheadMs);
    this.#env.metrics.counter(CLOCK_REJECTIONS).add(1, { node: this.nodeId });
    const text = formatHybridTimestamp(timestamp);
    this.#env.log.warn('timestamp refused', { timestamp: text, ahead: formatDuration(aheadMs), node: this.nodeId });
    const { nodeId, maxDriftMs } = this;
    return replicationErrors.create('HYBRID_CLOCK_DRIFT', { timestamp: text, aheadMs, nodeId, maxDriftMs });
  }
}

/** The next one of the same millisecond, or the first of the next when the counter is used up. */
function successor({ wallMs, counter }: HybridTimestamp): Pick<HybridTimestamp, 'wallMs' | 'counter'> {
  return counter < COUNTER_MAX ? { wallMs, counter: counter + 1 } : { wallMs: wallMs + 1, counter: 0 };
}
