/**
 * What must hold of a history, found out independently of the code that is tested: the log as it came to be says which writes count; answers,
 * states and reads are compared with that.
 */
import type { Json, LogEvent } from '@canopy/replication';

export interface WriteOfHistory {
  readonly key: string;
  /** No two writes have the same. */
  readonly value: number;
  /** `failed`: certainly not. */
  outcome: 'open' | 'acknowledged' | 'unknown' | 'failed';
  sequence: number | undefined;
}

export interface ReadOfHistory {
  readonly session: string;
  readonly key: string;
  readonly value: unknown;
  /** What the session's token said when the read began. */
  readonly seen: number;
  /** How many reads of the history were over by then. */
  readonly earlier: number;
  /** By a client of the session: later reads show no less. */
  readonly counts: boolean;
}

export interface History {
  /** Everything that was ever appended, whether trimmed since or not. */
  readonly log: readonly LogEvent[];
  readonly writes: readonly WriteOfHistory[];
  readonly reads: readonly ReadOfHistory[];
  /** At some moment, or at the end. */
  readonly states: readonly { readonly node: string; readonly sequence: number; readonly text: string }[];
}

interface Accepted {
  readonly sequence: number;
  readonly key: string;
  readonly value: Json | undefined;
}

/** Everything that does not hold. */
export function check(history: History): string[] {
  const accepted = acceptedOf(history.log);
  return [
    ...checkWrites(history.writes, accepted),
    ...checkReads(history.reads, accepted),
    ...checkStates(history.states, accepted),
  ];
}

/** The writes that count: each epoch record that is greater than all before begins a term, and ends the one before. */
export function acceptedOf(log: readonly LogEvent[]): Accepted[] {
  let epoch = 0;
  const accepted: Accepted[] = [];
  for (const { sequence, event } of log) {
    const record = event as { type?: string; epoch?: number; key?: string; value?: Json; operation?: string };
    if (record.type === 'replication.epoch' && (record.epoch as number) > epoch) epoch = record.epoch as number;
    if (record.type !== 'replication.write' || record.epoch !== epoch) continue;
    const value = record.operation === 'delete' ? undefined : record.value;
    accepted.push({ sequence, key: record.key as string, value });
  }
  return accepted;
}

export function stateAt(sequence: number, accepted: readonly Accepted[]): string {
  const state = new Map<string, Json>();
  for (const write of accepted) {
    if (write.sequence > sequence) break;
    if (write.value === undefined) state.delete(write.key);
    else state.set(write.key, write.value);
  }
  return JSON.stringify([...state].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function checkWrites(writes: readonly WriteOfHistory[], accepted: readonly Accepted[]): string[] {
  const bySequence = new Map(accepted.map((write) => [write.sequence, write]));
  const values = new Set(accepted.map(({ value }) => value));
  return writes.flatMap(({ key, value, outcome, sequence }) => {
    const found = bySequence.get(sequence ?? 0);
    if (outcome === 'acknowledged' && (found?.key !== key || found.value !== value))
      return [`lost: ${key}=${value} was acknowledged at ${sequence}`];
    if (outcome === 'failed' && values.has(value)) return [`ghost: ${key}=${value} failed for certain, and counts`];
    return [];
  });
}

function checkReads(reads: readonly ReadOfHistory[], accepted: readonly Accepted[]): string[] {
  /** The sequence that each read has shown. */
  const shown: number[] = [];
  return reads.flatMap(({ session, key, value, seen, earlier }, index) => {
    const ofKey = accepted.filter((write) => write.key === key);
    const found = value === null ? { sequence: 0 } : ofKey.find((write) => write.value === value);
    shown[index] = found?.sequence ?? 0;
    if (found === undefined) return [`invented: ${session} read ${key}=${value}`];
    const before = reads.slice(0, earlier).map((read, i) => (read.session === session && read.counts ? shown[i] : 0));
    const least = Math.max(seen, ...(before as number[]));
    const newer = ofKey.find((write) => write.sequence > found.sequence && write.sequence <= least);
    return newer === undefined ? [] : [`went back: ${session} read ${key}=${value}, having seen ${newer.sequence}`];
  });
}

function checkStates(states: History['states'], accepted: readonly Accepted[]): string[] {
  return states.flatMap(({ node, sequence, text }) =>
    text === stateAt(sequence, accepted) ? [] : [`diverged: ${node} at ${sequence}`],
  );
}
