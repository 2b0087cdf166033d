/** One value, the last one written. Ties go to the greater node id, on every replica. */
import { type Clock, systemClock } from '@canopy/core';
import { Crdt, checkOwner, inputInvalid, requireOwner } from './crdt.ts';
import { later, readStamp, type Written, type WrittenState, write, writtenToJSON } from './last-write.ts';
import { MERGEABLE } from './mergeable.ts';
import { StateReader } from './state-reader.ts';

const KIND = 'LWWRegister';
const READER = new StateReader(KIND);

/** What a register that was never set has instead. */
export interface UnsetState {
  readonly timestamp: 0;
  readonly nodeId: '';
}

export class LWWRegister<T = unknown> extends Crdt<LWWRegister<T>> {
  readonly [MERGEABLE] = KIND;
  readonly #node: string | undefined;
  readonly #clock: Pick<Clock, 'wall'>;
  #written: Written<T> | undefined;

  /** `nodeId` signs what is set here; without one it can be read and merged, not set. `clock`: default the system's. */
  constructor(nodeId?: string, clock: Pick<Clock, 'wall'> = systemClock) {
    super();
    this.#node = checkOwner(KIND, nodeId);
    this.#clock = clock;
  }

  /** Give `nodeId` to go on setting it. Throws CRDT_STATE_INVALID when `json` is no register. */
  static fromJSON<T = unknown>(json: unknown, nodeId?: string, clock?: Pick<Clock, 'wall'>): LWWRegister<T> {
    const register = new LWWRegister<T>(nodeId, clock);
    const state = READER.record(json, 'the state');
    if (Object.hasOwn(state, 'value') && state.value !== undefined)
      register.#written = { ...readStamp(READER, state, 'the value'), value: state.value as T };
    else if (state.timestamp !== 0 || state.nodeId !== '') throw READER.invalid('it has no value');
    return register;
  }

  /**
   * Sets the value and returns the delta. Ignored when `timestamp` (ms) lies before that of the present value; an equal one
   * overwrites. Without a timestamp it always takes effect, also when the present value is from the future. Throws
   * CRDT_INPUT_INVALID for `undefined` and what is no time, CRDT_NODE_UNKNOWN without a node id.
   */
  set(value: T, timestamp?: number): LWWRegister<T> {
    const nodeId = requireOwner(KIND, this.#node);
    if (value === undefined) throw inputInvalid(KIND, 'undefined does not survive JSON; use null');
    const written = write(KIND, this.#written, { value, nodeId, timestamp }, () => this.#clock.wall());
    if (written !== undefined) this.#written = written;
    return this.#of(undefined);
  }

  /** Undefined until it is set. */
  get(): T | undefined {
    return this.#written?.value;
  }

  /** When the present value was written; 0 until it is set. */
  timestamp(): number {
    return this.#written?.timestamp ?? 0;
  }

  /** Who wrote the present value; this node until it is set. */
  nodeId(): string {
    return this.#written?.nodeId ?? this.#node ?? '';
  }

  copy(): LWWRegister<T> {
    return this.#of(this.#node);
  }

  toJSON(): WrittenState<T> | UnsetState {
    return this.#written === undefined ? { timestamp: 0, nodeId: '' } : writtenToJSON(this.#written);
  }

  protected override join(other: LWWRegister<T>): void {
    if (other.#written === undefined) return;
    this.#written = this.#written === undefined ? other.#written : later(this.#written, other.#written);
  }

  #of(nodeId: string | undefined): LWWRegister<T> {
    const register = new LWWRegister<T>(nodeId, this.#clock);
    register.#written = this.#written;
    return register;
  }
}
