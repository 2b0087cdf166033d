/**
 * The cell that last-writer-wins types are made of. A local write gets a stamp greater than what it replaces: the counter
 * grows when the time does not, or two writes of one node in one millisecond could not be told apart by others.
 */
import { compareStamped, type Stamp } from '../values/stamp.ts';
import { inputInvalid } from './crdt.ts';
import type { StateReader } from './state-reader.ts';

export interface Written<T> extends Stamp {
  readonly counter: number;
  readonly value: T;
}

/** JSON of a cell; `counter` only where it is not 0. */
export interface WrittenState<T> {
  readonly value: T;
  readonly timestamp: number;
  readonly counter?: number;
  readonly nodeId: string;
}

const COUNTER_MAX = 2 ** 32 - 1;
const TIMESTAMP_MAX = 8.64e15;

export function later<T>(a: Written<T>, b: Written<T>): Written<T> {
  return compareStamped(a, b) >= 0 ? a : b;
}

/**
 * The cell after a local write, or undefined when an explicit `timestamp` lies before the present one. Without a timestamp
 * the write always takes effect: at `now()`, or just after the present value when that is from the future.
 */
export function write<T>(
  kind: string,
  present: Stamp | undefined,
  written: { readonly value: T; readonly nodeId: string; readonly timestamp: number | undefined },
  now: () => number,
): Written<T> | undefined {
  const { value, nodeId } = written;
  const timestamp = written.timestamp ?? Math.max(now(), present?.timestamp ?? Number.NEGATIVE_INFINITY);
  if (typeof timestamp !== 'number' || !(Math.abs(timestamp) < TIMESTAMP_MAX))
    throw inputInvalid(kind, `${timestamp} is no time in milliseconds`);
  if (present === undefined || timestamp > present.timestamp) return { value, timestamp, counter: 0, nodeId };
  if (timestamp < present.timestamp) return undefined;
  const counter = (present.counter ?? 0) + 1;
  return counter <= COUNTER_MAX
    ? { value, timestamp, counter, nodeId }
    : { value, timestamp: timestamp + 1, counter: 0, nodeId };
}

export function writtenToJSON<T>({ value, timestamp, counter, nodeId }: Written<T>): WrittenState<T> {
  return { value, timestamp, ...(counter === 0 ? {} : { counter }), nodeId };
}

/** The stamp of a cell in JSON. Throws CRDT_STATE_INVALID. */
export function readStamp(reader: StateReader, json: Record<string, unknown>, place: string): Written<undefined> {
  const counter = reader.whole(json.counter ?? 0, `the counter of ${place}`);
  if (counter > COUNTER_MAX) throw reader.invalid(`the counter of ${place} is greater than 2^32-1`);
  const timestamp = reader.timestamp(json.timestamp, `the timestamp of ${place}`);
  return { value: undefined, timestamp, counter, nodeId: reader.nodeId(json.nodeId, place) };
}
