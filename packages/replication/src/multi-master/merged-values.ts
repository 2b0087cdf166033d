/**
 * Counters, sets, registers and documents as entities of their own: one value that merges, under an id with a prefix. They merge under
 * every strategy and over every transport, and never come to a conflict. Each call is one write.
 */
import { GCounter } from '../crdt/g-counter.ts';
import { GSet } from '../crdt/g-set.ts';
import { LWWRegister } from '../crdt/lww-register.ts';
import { isMergeable, type Mergeable } from '../crdt/mergeable.ts';
import { PNCounter } from '../crdt/pn-counter.ts';
import type { Entity } from '../ports/state-store.ts';
import { decodeData, encodeData } from './tagged-values.ts';

type Data = Record<string, unknown>;

/** What a change of an entity starts from, and comes to. */
export type ChangeOf = (present: Entity | undefined) => Data;

/** This master's share becomes `count`, and never less than it was; a whole counter is merged. */
export function setCounter(master: string, count: number | GCounter): ChangeOf {
  return (present) => {
    const counter = GCounter.fromJSON(stateOf(present, 'GCounter') ?? {}, master);
    if (typeof count === 'number') counter.increment(Math.max(0, count - (counter.toJSON()[master] ?? 0)));
    else counter.merge(count);
    return valueData(counter);
  };
}

export function addToCounter(master: string, by: number): ChangeOf {
  return (present) => {
    const counter = GCounter.fromJSON(stateOf(present, 'GCounter') ?? {}, master);
    counter.increment(by);
    return valueData(counter);
  };
}

/** This master's share becomes `count`; a whole counter is merged. */
export function setPNCounter(master: string, count: number | PNCounter): ChangeOf {
  return (present) => {
    const counter = readPN(present, master);
    if (typeof count !== 'number') counter.merge(count);
    else {
      const { positive, negative } = counter.toJSON();
      move(counter, count - ((positive[master] ?? 0) - (negative[master] ?? 0)));
    }
    return valueData(counter);
  };
}

export function movePNCounter(master: string, by: number): ChangeOf {
  return (present) => {
    const counter = readPN(present, master);
    move(counter, by);
    return valueData(counter);
  };
}

export function addElements(elements: readonly unknown[]): ChangeOf {
  return (present) => {
    const set = GSet.fromJSON(stateOf(present, 'GSet') ?? []);
    for (const element of elements) set.add(element);
    return valueData(set);
  };
}

export function setRegister(master: string, value: unknown, now: () => number): ChangeOf {
  return (present) => {
    const state = stateOf(present, 'LWWRegister');
    const clock = { wall: now };
    const register = state === undefined ? new LWWRegister(master, clock) : LWWRegister.fromJSON(state, master, clock);
    register.set(value);
    return valueData(register);
  };
}

/** What an entity of this module holds; undefined when there is none, or it is something else. */
export function mergedValueOf(entity: Entity | null): Mergeable | undefined {
  const value = entity === null ? undefined : decodeData(entity.data).value;
  return isMergeable(value) ? value : undefined;
}

function readPN(present: Entity | undefined, master: string): PNCounter {
  return PNCounter.fromJSON(stateOf(present, 'PNCounter') ?? { positive: {}, negative: {} }, master);
}

function move(counter: PNCounter, by: number): void {
  if (by < 0) counter.decrement(-by);
  else counter.increment(by);
}

function stateOf(present: Entity | undefined, kind: string): unknown {
  const value = present?.data.value as { $crdt?: string; state?: unknown } | undefined;
  return value?.$crdt === kind ? value.state : undefined;
}

function valueData(value: Mergeable): Data {
  return encodeData({ value });
}
