/**
 * The order in which an app becomes active and stops being it. Pure. Up: settle (what an earlier term left is over) →
 * promote → activate → start_backend → serve. Down: the undo of each step that was begun, in reverse; a step that failed
 * may have done half of its work, or all of it too late, so it is undone as well. One step runs at a time. A step that fails, and a loss of leadership at any point, lead to the same way down; leadership is given up only
 * when everything is undone. Invariant: `serve` is done only between a completed `start_backend` and `close_gate`.
 */

export type Step = 'settle' | 'promote' | 'activate' | 'start_backend' | 'serve';
export type Undo = 'close_gate' | 'stop_backend' | 'deactivate' | 'demote';

export const STEPS: readonly Step[] = ['settle', 'promote', 'activate', 'start_backend', 'serve'];

const UNDO_OF: Readonly<Record<Step, Undo | undefined>> = {
  settle: undefined,
  promote: 'demote',
  activate: 'deactivate',
  start_backend: 'stop_backend',
  serve: 'close_gate',
};

/** Why a term ends. */
export interface Fall {
  readonly reason: string;
  /** The lease is still ours and is being renewed: there is time to do it gracefully. */
  readonly leaseHeld: boolean;
  /** Something here is broken: stay out for a while, so that another node or a later try has its chance. */
  readonly isFailure: boolean;
}

export type RoleState =
  | { readonly phase: 'standby' }
  | {
      readonly phase: 'rising';
      readonly epoch: number;
      readonly running: Step;
      /** Set when the term is lost while `running` has not ended yet. */
      readonly fall: Fall | undefined;
    }
  | { readonly phase: 'active'; readonly epoch: number }
  | {
      readonly phase: 'falling';
      readonly epoch: number;
      readonly running: Undo;
      readonly remaining: readonly Undo[];
      readonly fall: Fall;
      /** A term that was won before the old one was cleared away. */
      readonly next: number | undefined;
    };

export type RoleEvent =
  | { readonly type: 'elected'; readonly epoch: number }
  | { readonly type: 'step_done'; readonly step: Step }
  | { readonly type: 'step_failed'; readonly step: Step; readonly reason: string }
  | { readonly type: 'fall'; readonly epoch: number; readonly fall: Fall }
  /** It has ended; how well is for the log, the way down goes on in any case. */
  | { readonly type: 'undo_ended'; readonly undo: Undo };

export type RoleEffect =
  | { readonly type: 'run'; readonly step: Step; readonly epoch: number }
  /** Abort the signal that the running step was given. */
  | { readonly type: 'abort_step'; readonly reason: string }
  | { readonly type: 'undo'; readonly undo: Undo; readonly epoch: number; readonly fall: Fall }
  /** The lease went while it was being given up gracefully: what still runs must end at once. */
  | { readonly type: 'hurry' }
  /** Nothing of this term is left; the lease may go to another. */
  | { readonly type: 'given_up'; readonly epoch: number; readonly fall: Fall };

export interface RoleStep {
  readonly state: RoleState;
  readonly effects: readonly RoleEffect[];
}

export const INITIAL_ROLE: RoleState = { phase: 'standby' };

export function stepRole(state: RoleState, event: RoleEvent): RoleStep {
  switch (event.type) {
    case 'elected':
      return elected(state, event.epoch);
    case 'fall':
      return fall(state, event.epoch, event.fall);
    case 'step_done':
      return stepDone(state, event.step);
    case 'step_failed':
      return stepFailed(state, event.step, event.reason);
    case 'undo_ended':
      return undoEnded(state, event.undo);
  }
}

function elected(state: RoleState, epoch: number): RoleStep {
  if (state.phase === 'standby') return rise(epoch);
  if (state.phase === 'falling') return { state: { ...state, next: epoch }, effects: [] };
  // A new term without the end of the old one having been told: the old one is over all the same.
  if (epoch <= state.epoch) return { state, effects: [] };
  const over: Fall = { reason: 'superseded', leaseHeld: false, isFailure: false };
  const down = fall(state, state.epoch, over);
  if (down.state.phase !== 'falling') return down;
  return { state: { ...down.state, next: epoch }, effects: down.effects };
}

function rise(epoch: number): RoleStep {
  const first = STEPS[0] as Step;
  return {
    state: { phase: 'rising', epoch, running: first, fall: undefined },
    effects: [{ type: 'run', step: first, epoch }],
  };
}

function fall(state: RoleState, epoch: number, why: Fall): RoleStep {
  if (state.phase === 'falling' && state.next === epoch && epoch !== state.epoch)
    return { state: { ...state, next: undefined }, effects: [{ type: 'given_up', epoch, fall: why }] };
  if (state.phase === 'standby' || state.epoch !== epoch) return { state, effects: [] };
  if (state.phase === 'active') return descend(epoch, STEPS, why, []);
  if (state.phase === 'rising') {
    if (state.fall !== undefined)
      return {
        state: { ...state, fall: { ...state.fall, leaseHeld: state.fall.leaseHeld && why.leaseHeld } },
        effects: [],
      };
    return { state: { ...state, fall: why }, effects: [{ type: 'abort_step', reason: why.reason }] };
  }
  if (state.fall.leaseHeld && !why.leaseHeld)
    return { state: { ...state, fall: { ...state.fall, leaseHeld: false } }, effects: [{ type: 'hurry' }] };
  return { state, effects: [] };
}

function stepDone(state: RoleState, step: Step): RoleStep {
  if (state.phase !== 'rising' || state.running !== step) return { state, effects: [] };
  const index = STEPS.indexOf(step);
  if (state.fall !== undefined) return descend(state.epoch, STEPS.slice(0, index + 1), state.fall, []);
  const next = STEPS[index + 1];
  if (next === undefined) return { state: { phase: 'active', epoch: state.epoch }, effects: [] };
  return {
    state: { ...state, running: next },
    effects: [{ type: 'run', step: next, epoch: state.epoch }],
  };
}

function stepFailed(state: RoleState, step: Step, reason: string): RoleStep {
  if (state.phase !== 'rising' || state.running !== step) return { state, effects: [] };
  const why = state.fall ?? { reason: `${step}: ${reason}`, leaseHeld: true, isFailure: true };
  return descend(state.epoch, STEPS.slice(0, STEPS.indexOf(step) + 1), why, []);
}

/** Starts the way down from the steps that were begun. */
function descend(epoch: number, begun: readonly Step[], why: Fall, before: readonly RoleEffect[]): RoleStep {
  const undos = begun
    .map((step) => UNDO_OF[step])
    .filter((undo) => undo !== undefined)
    .reverse();
  const [first, ...remaining] = undos;
  if (first === undefined)
    return { state: { phase: 'standby' }, effects: [...before, { type: 'given_up', epoch, fall: why }] };
  return {
    state: { phase: 'falling', epoch, running: first, remaining, fall: why, next: undefined },
    effects: [...before, { type: 'undo', undo: first, epoch, fall: why }],
  };
}

function undoEnded(state: RoleState, undo: Undo): RoleStep {
  if (state.phase !== 'falling' || state.running !== undo) return { state, effects: [] };
  const [next, ...remaining] = state.remaining;
  if (next !== undefined)
    return {
      state: { ...state, running: next, remaining },
      effects: [{ type: 'undo', undo: next, epoch: state.epoch, fall: state.fall }],
    };
  const over: RoleEffect = { type: 'given_up', epoch: state.epoch, fall: state.fall };
  if (state.next === undefined) return { state: { phase: 'standby' }, effects: [over] };
  const up = rise(state.next);
  return { state: up.state, effects: [over, ...up.effects] };
}
