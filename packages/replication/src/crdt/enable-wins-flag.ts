/** A flag that starts off. Switching off undoes the switchings on that were seen; one at the same time elsewhere wins. */
import type { CausalContextState } from './causal-context.ts';
import { Crdt, checkOwner, requireOwner } from './crdt.ts';
import { DottedMap } from './dotted-map.ts';
import { MERGEABLE } from './mergeable.ts';
import { StateReader } from './state-reader.ts';

const KIND = 'EnableWinsFlag';
const READER = new StateReader(KIND);
const KEY = '';

export interface EnableWinsFlagState {
  /** `[node, number]` of each switching on that nobody has undone. */
  readonly enabled: [string, number][];
  readonly context: CausalContextState;
}

export class EnableWinsFlag extends Crdt<EnableWinsFlag> {
  readonly [MERGEABLE] = KIND;
  readonly #node: string | undefined;
  #map = new DottedMap<true>();

  /** `nodeId` signs switching on, and must be in use nowhere else; without one it can be read, merged and disabled. */
  constructor(nodeId?: string) {
    super();
    this.#node = checkOwner(KIND, nodeId);
  }

  /** Give `nodeId` to go on enabling it. Throws CRDT_STATE_INVALID when `json` is no flag. */
  static fromJSON(json: unknown, nodeId?: string): EnableWinsFlag {
    const { enabled, context } = READER.record(json, 'the state');
    return EnableWinsFlag.#of(
      DottedMap.fromJSON<true>([[true, enabled]], context, () => KEY, READER),
      nodeId,
    );
  }

  /** Returns the delta. Throws CRDT_NODE_UNKNOWN without a node id. */
  enable(): EnableWinsFlag {
    return EnableWinsFlag.#of(this.#map.put(KIND, requireOwner(KIND, this.#node), KEY, true));
  }

  /** Returns the delta. */
  disable(): EnableWinsFlag {
    return EnableWinsFlag.#of(this.#map.remove(KEY));
  }

  value(): boolean {
    return this.#map.has(KEY);
  }

  copy(): EnableWinsFlag {
    return EnableWinsFlag.#of(this.#map.copy(), this.#node);
  }

  toJSON(): EnableWinsFlagState {
    return { enabled: this.#map.entries(() => true)[0]?.[1] ?? [], context: this.#map.context() };
  }

  protected override join(other: EnableWinsFlag): void {
    this.#map.join(other.#map);
  }

  static #of(map: DottedMap<true>, nodeId?: string): EnableWinsFlag {
    const flag = new EnableWinsFlag(nodeId);
    flag.#map = map;
    return flag;
  }
}
