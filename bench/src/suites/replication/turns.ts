/**
 * Measures contenders in turns, so that a noisy machine is equally unkind to all of them, and by the processor time that they use:
 * nothing here waits, and what others do on the machine is not theirs.
 */
import { Samples } from '../../samples.ts';

/** Begins anew and gives the work of one turn. What the work returns is looked at, so that it can't be optimised away. */
export type Contender = () => () => unknown;

const TURNS = 7;

/** The median milliseconds of processor time of a turn of each, collection of garbage included, after one turn of each to warm up. */
export function inTurns<K extends string>(contenders: Readonly<Record<K, Contender>>): Record<K, number> {
  const names = Object.keys(contenders) as K[];
  const samples = new Map(names.map((name) => [name, new Samples()]));
  for (let turn = 0; turn <= TURNS; turn++)
    for (const name of names) {
      const work = contenders[name]();
      const from = process.cpuUsage();
      const kept = work();
      const { user, system } = process.cpuUsage(from);
      if (kept === undefined) throw new Error(`${name} gave nothing`);
      if (turn > 0) samples.get(name)?.add((user + system) / 1000);
    }
  return Object.fromEntries(names.map((name) => [name, (samples.get(name) as Samples).p50])) as Record<K, number>;
}
