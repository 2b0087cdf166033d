/** What tests of every package use: time and chance under control, and observers that remember. */
export { seededRandom } from '../random/seeded.ts';
export { type LogLine, memoryLogger, memoryMetrics } from './memory-observer.ts';
export { settle, VirtualClock } from './virtual-clock.ts';
