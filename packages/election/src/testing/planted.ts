/**
 * Mistakes made on purpose, each a way in which such a protocol has been got wrong: the simulation must find them all.
 * They are made around the machine, never in it.
 */
import type { MachineEvent, MachineState, Rules } from '../machine/state.ts';

export const PLANTED_FAULTS = [
  /** The holder uses the whole ttl. */
  'no_margin',
  /** Expiry is judged by a clock that steps. */
  'wall_clock',
  /** Releases don't name a revision. */
  'blind_delete',
  /** The epoch is one more than the one in the last value that was seen. */
  'epoch_from_payload',
  /** A bucket that is made anew begins with revisions that have been there, and nobody expects it. */
  'same_revisions',
  /** A candidate whose request failed never tries again: nothing is unsafe about that. */
  'gives_up',
  /** Failsafe without asking one of the candidates that are listed. */
  'failsafe_forgets_one',
  /** A promise counts from when the answer arrived, not from when the call was sent. */
  'failsafe_from_arrival',
  /** A candidate answers yes and forgets. */
  'failsafe_broken_promise',
  /** A candidate that is not listed does not wait longer. */
  'failsafe_unlisted_early',
] as const;

export type PlantedFault = 'none' | (typeof PLANTED_FAULTS)[number];

/** The state as the mistaken program has it before it takes the event. */
export function spoilBefore(plant: PlantedFault, state: MachineState, event: MachineEvent, now: number): MachineState {
  if (plant === 'failsafe_unlisted_early') {
    const { observed } = state;
    const { lease } = observed;
    if (lease?.failsafe === undefined) return state;
    const failsafe = { ...lease.failsafe, limitMs: 0 };
    return { ...state, observed: { ...observed, lease: { ...lease, failsafe } } };
  }
  if (plant !== 'failsafe_from_arrival' || event.type !== 'heard') return state;
  const rounds = state.failsafe.rounds.map((round) => ({ ...round, sentAt: now }));
  return { ...state, failsafe: { ...state.failsafe, rounds } };
}

/** The state as the mistaken program has it after a step. */
export function spoilAfter(plant: PlantedFault, rules: Rules, state: MachineState): MachineState {
  if (plant === 'failsafe_broken_promise')
    return { ...state, failsafe: { ...state.failsafe, promisedUntil: Number.NEGATIVE_INFINITY } };
  if (plant === 'gives_up')
    return state.phase === 'standing' && state.failures > 0 ? { ...state, retryAt: Number.POSITIVE_INFINITY } : state;
  const { term } = state;
  if (plant !== 'failsafe_forgets_one' || term?.bound === undefined) return state;
  const forgotten = term.clause?.peers.filter((run) => run !== rules.failsafe?.run).at(-1);
  return { ...state, term: { ...term, bound: term.bound.filter((run) => run !== forgotten) } };
}
