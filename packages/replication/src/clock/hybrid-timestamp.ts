/**
 * A moment of a hybrid logical clock: wall milliseconds, a counter for what fell into the same one, and who said it. Two
 * timestamps are never equal unless they are the same one, so they order all writes of all nodes the same way everywhere.
 * The text form sorts, byte by byte, as the timestamps compare; it is what is stored and sent. Do not change it.
 */
import { nameProblem } from '@canopy/core';
import { replicationErrors } from '../errors.ts';

export interface HybridTimestamp {
  /** Milliseconds since the Unix epoch, a whole number below 2^48. */
  readonly wallMs: number;
  /** 0 to 65535. */
  readonly counter: number;
  readonly nodeId: string;
}

export const WALL_MS_MAX = 2 ** 48 - 1;
export const COUNTER_MAX = 0xffff;
const TEXT = /^([0-9a-f]{12})-([0-9a-f]{4})-(.+)$/s;

/** Negative when `a` comes first, positive when `b` does, 0 when they are the same. */
export function compareHybridTimestamps(a: HybridTimestamp, b: HybridTimestamp): number {
  if (a.wallMs !== b.wallMs) return a.wallMs - b.wallMs;
  if (a.counter !== b.counter) return a.counter - b.counter;
  return a.nodeId < b.nodeId ? -1 : a.nodeId > b.nodeId ? 1 : 0;
}

/** `018bcfe56800-0000-node-1`. Throws HYBRID_TIMESTAMP_INVALID when it is no timestamp. */
export function formatHybridTimestamp(timestamp: HybridTimestamp): string {
  const { wallMs, counter, nodeId } = checkHybridTimestamp(timestamp);
  return `${wallMs.toString(16).padStart(12, '0')}-${counter.toString(16).padStart(4, '0')}-${nodeId}`;
}

/** Reads the text form. Throws HYBRID_TIMESTAMP_INVALID when it is none. */
export function parseHybridTimestamp(text: unknown): HybridTimestamp {
  const match = typeof text === 'string' ? TEXT.exec(text) : null;
  if (match === null) throw invalid(`${JSON.stringify(String(text).slice(0, 100))} is not the text of one`);
  const [, wall = '', counter = '', nodeId = ''] = match;
  return checkHybridTimestamp({ wallMs: Number.parseInt(wall, 16), counter: Number.parseInt(counter, 16), nodeId });
}

/** Returns the timestamp when its fields are in their bounds, else throws HYBRID_TIMESTAMP_INVALID. */
export function checkHybridTimestamp(timestamp: HybridTimestamp): HybridTimestamp {
  const { wallMs, counter, nodeId } = timestamp;
  if (!isWithin(wallMs, WALL_MS_MAX)) throw invalid(`its milliseconds are ${wallMs}`);
  if (!isWithin(counter, COUNTER_MAX)) throw invalid(`its counter is ${counter}`);
  const problem = nameProblem('node', nodeId);
  if (problem !== undefined) throw invalid(`its node name is not allowed: ${problem}`);
  return timestamp;
}

function isWithin(value: unknown, max: number): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= max;
}

function invalid(problem: string) {
  return replicationErrors.create('HYBRID_TIMESTAMP_INVALID', { problem });
}
