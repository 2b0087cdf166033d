import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Fall,
  INITIAL_ROLE,
  type RoleEffect,
  type RoleEvent,
  type RoleState,
  STEPS,
  type Step,
  stepRole,
  type Undo,
} from '../../src/apps/role-machine.ts';

const LOST: Fall = { reason: 'lease_expired', leaseHeld: false, isFailure: false };
const PLANNED: Fall = { reason: 'step_down', leaseHeld: true, isFailure: false };

/** Feeds events and keeps everything that was asked for. */
class Play {
  state: RoleState = INITIAL_ROLE;
  readonly effects: RoleEffect[] = [];

  feed(...events: RoleEvent[]): this {
    for (const event of events) {
      const { state, effects } = stepRole(this.state, event);
      this.state = state;
      this.effects.push(...effects);
    }
    return this;
  }

  rise(epoch = 1, until: Step = 'serve'): this {
    this.feed({ type: 'elected', epoch });
    for (const step of STEPS.slice(0, STEPS.indexOf(until) + 1)) this.feed({ type: 'step_done', step });
    return this;
  }

  /** Ends each undo that is asked for, until there is none. */
  undoAll(): this {
    while (this.state.phase === 'falling') this.feed({ type: 'undo_ended', undo: this.state.running });
    return this;
  }

  get asked(): string[] {
    return this.effects.map((effect) =>
      effect.type === 'run' ? effect.step : effect.type === 'undo' ? effect.undo : effect.type,
    );
  }
}

describe('becoming active and stopping to be', () => {
  it('goes up in order and down in reverse', () => {
    const play = new Play().rise().feed({ type: 'fall', epoch: 1, fall: PLANNED }).undoAll();
    expect(play.asked).toEqual([...STEPS, 'close_gate', 'stop_backend', 'deactivate', 'demote', 'given_up']);
    expect(play.state).toEqual({ phase: 'standby' });
  });

  it.each<[Step, Undo[]]>([
    ['settle', []],
    ['promote', ['demote']],
    ['activate', ['deactivate', 'demote']],
    ['start_backend', ['stop_backend', 'deactivate', 'demote']],
    ['serve', ['close_gate', 'stop_backend', 'deactivate', 'demote']],
  ])('undoes what was begun when %s fails', (failing, undone) => {
    const play = new Play();
    play.feed({ type: 'elected', epoch: 7 });
    for (const step of STEPS.slice(0, STEPS.indexOf(failing))) play.feed({ type: 'step_done', step });
    play.feed({ type: 'step_failed', step: failing, reason: 'broken' }).undoAll();
    expect(play.asked).toEqual([...STEPS.slice(0, STEPS.indexOf(failing) + 1), ...undone, 'given_up']);
    expect(play.effects.at(-1)).toEqual({
      type: 'given_up',
      epoch: 7,
      fall: { reason: `${failing}: broken`, leaseHeld: true, isFailure: true },
    });
  });

  it.each(STEPS)('aborts %s when leadership is lost during it, and undoes it if it was done all the same', (step) => {
    const before = STEPS.slice(0, STEPS.indexOf(step));
    const play = new Play().feed({ type: 'elected', epoch: 2 });
    for (const done of before) play.feed({ type: 'step_done', step: done });
    play.feed({ type: 'fall', epoch: 2, fall: LOST });
    expect(play.asked.at(-1)).toBe('abort_step');
    expect(play.state.phase).toBe('rising');
    play.feed({ type: 'step_done', step });
    const undos = ['demote', 'deactivate', 'stop_backend', 'close_gate'].slice(0, STEPS.indexOf(step)).reverse();
    play.undoAll();
    expect(play.asked.slice(play.asked.indexOf('abort_step') + 1)).toEqual([...undos, 'given_up']);
    // A loss is not a failure of this node, also when the aborted step reports one.
    expect(play.effects.at(-1)).toMatchObject({ fall: LOST });
  });

  it('demotes, and only then gives up, when the term is lost during a promotion that fails', () => {
    const play = new Play().feed({ type: 'elected', epoch: 3 }, { type: 'step_done', step: 'settle' });
    play.feed({ type: 'fall', epoch: 3, fall: LOST }, { type: 'step_failed', step: 'promote', reason: 'aborted' });
    expect(play.asked).toEqual(['settle', 'promote', 'abort_step', 'demote']);
    // A term won meanwhile begins after it.
    play.feed({ type: 'elected', epoch: 4 }).undoAll();
    expect(play.asked.slice(4)).toEqual(['given_up', 'settle']);
  });

  it('turns to haste when the lease goes during a planned step-down', () => {
    const play = new Play().rise().feed({ type: 'fall', epoch: 1, fall: PLANNED });
    play.feed({ type: 'fall', epoch: 1, fall: LOST }, { type: 'fall', epoch: 1, fall: LOST });
    expect(play.asked.slice(STEPS.length)).toEqual(['close_gate', 'hurry']);
    expect(play.undoAll().asked.at(-1)).toBe('given_up');
  });

  it('begins a term won while the old one is being cleared away only afterwards', () => {
    const play = new Play().rise(1).feed({ type: 'fall', epoch: 1, fall: LOST }, { type: 'elected', epoch: 2 });
    expect(play.asked.at(-1)).toBe('close_gate');
    play.undoAll();
    expect(play.asked.slice(-2)).toEqual(['given_up', 'settle']);
    expect(play.state).toMatchObject({ phase: 'rising', epoch: 2 });
  });

  it('gives a waiting term up at once when it is lost before it began', () => {
    const play = new Play().rise(1).feed({ type: 'fall', epoch: 1, fall: LOST }, { type: 'elected', epoch: 2 });
    play.feed({ type: 'fall', epoch: 2, fall: LOST });
    expect(play.effects.at(-1)).toMatchObject({ type: 'given_up', epoch: 2 });
    expect(play.undoAll().state).toEqual({ phase: 'standby' });
  });

  it('ignores the end of another term', () => {
    const play = new Play().rise(5).feed({ type: 'fall', epoch: 4, fall: LOST });
    expect(play.state).toEqual({ phase: 'active', epoch: 5 });
  });

  it('keeps its invariants under any order of events', () => {
    const event = fc.oneof(
      fc.record({ type: fc.constant('elected' as const), epoch: fc.integer({ min: 1, max: 6 }) }),
      fc.record({ type: fc.constant('step_done' as const), step: fc.constantFrom(...STEPS) }),
      fc.record({
        type: fc.constant('step_failed' as const),
        step: fc.constantFrom(...STEPS),
        reason: fc.constant('x'),
      }),
      fc.record({
        type: fc.constant('fall' as const),
        epoch: fc.integer({ min: 1, max: 6 }),
        fall: fc.constantFrom(LOST, PLANNED),
      }),
      fc.record({
        type: fc.constant('undo_ended' as const),
        undo: fc.constantFrom<Undo>('close_gate', 'stop_backend', 'deactivate', 'demote'),
      }),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const done = new Set<string>();
        const begun = new Set<string>();
        const undoOf: Record<string, Step> = {
          close_gate: 'serve',
          stop_backend: 'start_backend',
          deactivate: 'activate',
          demote: 'promote',
        };
        let state: RoleState = INITIAL_ROLE;
        for (const next of events) {
          if (next.type === 'step_done' && state.phase === 'rising' && state.running === next.step) done.add(next.step);
          if (next.type === 'undo_ended' && state.phase === 'falling' && state.running === next.undo)
            done.delete(undoOf[next.undo] as string);
          const result = stepRole(state, next);
          for (const effect of result.effects) {
            // What was begun is undone before the lease is free, however it ended.
            if (effect.type === 'run') begun.add(effect.step);
            if (effect.type === 'undo') begun.delete(undoOf[effect.undo] as string);
            if (effect.type === 'given_up' && (state.phase === 'standby' || effect.epoch === epochOf(state)))
              expect([...begun].filter((step) => step !== 'settle')).toEqual([]);
            // Nothing starts before what it stands on, and a lease is free only when nothing is left.
            if (effect.type === 'run' && effect.step === 'promote') expect([...done]).toEqual(['settle']);
            if (effect.type === 'run' && effect.step === 'start_backend') expect(done.has('promote')).toBe(true);
            if (effect.type === 'run' && effect.step === 'serve') expect(done.has('start_backend')).toBe(true);
            if (effect.type === 'undo' && effect.undo === 'demote') expect(done.has('start_backend')).toBe(false);
            if (effect.type === 'given_up' && (state.phase === 'standby' || effect.epoch === epochOf(state)))
              expect([...done].filter((step) => step !== 'settle')).toEqual([]);
            if (effect.type === 'run' && effect.step === 'settle') done.clear();
          }
          state = result.state;
        }
      }),
      { numRuns: 2000 },
    );
  });
});

function epochOf(state: RoleState): number | undefined {
  return state.phase === 'standby' ? undefined : state.epoch;
}
