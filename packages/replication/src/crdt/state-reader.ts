/** Reads states that came over the wire. Whatever is not what it should be is CRDT_STATE_INVALID with the place named. */
import { replicationErrors } from '../errors.ts';
import { jsonKey } from '../values/canonical.ts';

/** The range of a Date, well inside the whole numbers of a double. */
const TIMESTAMP_MAX = 8.64e15;
const NODE_ID_MAX = 256;

export class StateReader {
  readonly #kind: string;

  constructor(kind: string) {
    this.#kind = kind;
  }

  record(json: unknown, place: string): Record<string, unknown> {
    if (typeof json !== 'object' || json === null || Array.isArray(json)) throw this.invalid(`${place} is no record`);
    return json as Record<string, unknown>;
  }

  list(json: unknown, place: string): unknown[] {
    if (!Array.isArray(json)) throw this.invalid(`${place} is no list`);
    return json;
  }

  /** A record of counts by node, as pairs; zeros are left out. */
  counts(json: unknown, place: string): [string, number][] {
    return Object.entries(this.record(json, place))
      .map(([node, count]): [string, number] => [this.nodeId(node, place), this.whole(count, `${place} of "${node}"`)])
      .filter(([, count]) => count > 0);
  }

  whole(json: unknown, place: string, min = 0): number {
    if (!Number.isSafeInteger(json) || (json as number) < min)
      throw this.invalid(`${place} is no whole number from ${min}`);
    return json as number;
  }

  timestamp(json: unknown, place: string): number {
    if (typeof json !== 'number' || !(Math.abs(json) <= TIMESTAMP_MAX)) throw this.invalid(`${place} is no time`);
    return json;
  }

  nodeId(json: unknown, place: string): string {
    if (typeof json === 'string' && json !== '' && json.length <= NODE_ID_MAX) return json;
    throw this.invalid(`${place} has a node id that is no text of 1 to 256 characters`);
  }

  /** Its key. */
  element(json: unknown, place: string): string {
    try {
      return jsonKey(json);
    } catch (error) {
      throw this.invalid(`${place} can not be kept: ${(error as Error).message}`, error);
    }
  }

  invalid(problem: string, cause?: unknown) {
    return replicationErrors.create('CRDT_STATE_INVALID', { kind: this.#kind, problem }, cause);
  }
}
