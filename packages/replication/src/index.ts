/** Keyed state on several nodes: the clocks that order its writes. */
export { HybridClock, type HybridClockOptions, type HybridClockStatus } from './clock/hybrid-clock.ts';
export {
  compareHybridTimestamps,
  formatHybridTimestamp,
  type HybridTimestamp,
  parseHybridTimestamp,
} from './clock/hybrid-timestamp.ts';
export { type ClockOrder, VectorClock, type VectorClockRecord } from './clock/vector-clock.ts';
export { replicationErrors } from './errors.ts';
export { CLOCK_AHEAD, CLOCK_REJECTIONS } from './metrics.ts';
