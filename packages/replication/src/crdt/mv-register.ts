/**
 * A value that keeps what was written at the same time on several nodes, side by side, until somebody who has seen all of
 * them writes again. Values are what JSON can carry; equal ones are shown once.
 */
import { jsonKey, valueOfKey } from '../values/canonical.ts';
import type { CausalContextState } from './causal-context.ts';
import { Crdt, checkOwner, requireOwner } from './crdt.ts';
import { DottedMap, type DottedState } from './dotted-map.ts';
import { MERGEABLE } from './mergeable.ts';
import { StateReader } from './state-reader.ts';

const KIND = 'MVRegister';
const READER = new StateReader(KIND);

export interface MVRegisterState<T> {
  readonly values: DottedState<T>;
  readonly context: CausalContextState;
}

export class MVRegister<T = unknown> extends Crdt<MVRegister<T>> {
  readonly [MERGEABLE] = KIND;
  readonly #node: string | undefined;
  #map = new DottedMap<T>();

  /** `nodeId` signs what is set, and must be in use nowhere else; without one it can be read and merged. */
  constructor(nodeId?: string) {
    super();
    this.#node = checkOwner(KIND, nodeId);
  }

  /** Give `nodeId` to go on setting it. Throws CRDT_STATE_INVALID when `json` is no such register. */
  static fromJSON<T = unknown>(json: unknown, nodeId?: string): MVRegister<T> {
    const { values, context } = READER.record(json, 'the state');
    const keyOf = (value: unknown): string => READER.element(value, 'a value');
    return MVRegister.#of(DottedMap.fromJSON<T>(values, context, keyOf, READER), nodeId);
  }

  /**
   * Puts the value in the place of all that this replica has; returns the delta. Throws REPLICATED_VALUE_INVALID for what
   * JSON can't carry, CRDT_NODE_UNKNOWN without a node id.
   */
  set(value: T): MVRegister<T> {
    return MVRegister.#of(this.#map.put(KIND, requireOwner(KIND, this.#node), jsonKey(value), value, { alone: true }));
  }

  /** All values that nobody has replaced, in the same order on every replica; empty until it is set. */
  values(): T[] {
    return this.#map.sortedValues();
  }

  copy(): MVRegister<T> {
    return MVRegister.#of(this.#map.copy(), this.#node);
  }

  toJSON(): MVRegisterState<T> {
    return { values: this.#map.entries(valueOfKey), context: this.#map.context() };
  }

  protected override join(other: MVRegister<T>): void {
    this.#map.join(other.#map);
  }

  static #of<T>(map: DottedMap<T>, nodeId?: string): MVRegister<T> {
    const register = new MVRegister<T>(nodeId);
    register.#map = map;
    return register;
  }
}
