import { systemEnv } from '@canopy/core';
import { settle, VirtualClock } from '@canopy/core/testing';
import { beforeEach, describe, expect, it } from 'vitest';
import { Coordinator, type CoordinatorDeps } from '../../src/apps/coordinator.ts';
import type { Fall } from '../../src/apps/role-machine.ts';
import { FakeLeadership } from '../fakes/leadership.ts';

const LOST: Fall = { reason: 'lease_expired', leaseHeld: false, isFailure: false };
const PLANNED: Fall = { reason: 'step_down', leaseHeld: true, isFailure: false };

let clock: VirtualClock;
let calls: string[];
let givenUp: Fall[];
beforeEach(() => {
  clock = new VirtualClock();
  calls = [];
  givenUp = [];
});

type Overrides = {
  steps?: Partial<CoordinatorDeps['steps']>;
  undos?: Partial<CoordinatorDeps['undos']>;
  promoteTimeoutMs?: () => number;
};

function coordinator({ steps = {}, undos = {}, promoteTimeoutMs = () => 1000 }: Overrides = {}): Coordinator {
  const did = (name: string) => async (): Promise<void> => void calls.push(name);
  return new Coordinator(
    {
      app: 'x',
      steps: {
        settle: did('settle'),
        promote: did('promote'),
        activate: did('activate'),
        start_backend: did('start_backend'),
        serve: did('serve'),
        ...steps,
      },
      undos: {
        close_gate: did('close_gate'),
        stop_backend: did('stop_backend'),
        deactivate: did('deactivate'),
        demote: did('demote'),
        ...undos,
      },
      stepTimeoutMs: { settle: 1000, promote: promoteTimeoutMs, activate: 1000, start_backend: 1000, serve: 1000 },
      undoTimeoutMs: { close_gate: 1000, stop_backend: 1000, deactivate: 1000, demote: 1000 },
      abortGraceMs: 500,
      onGivenUp: (_leadership, fall) => givenUp.push(fall),
      onChanged: () => {},
    },
    systemEnv({ clock }),
  );
}

const never = (): Promise<void> => new Promise(() => {});

describe('the coordinator', () => {
  it('runs each step after the one before has ended, and resolves givenUp when all is undone', async () => {
    const demoted = Promise.withResolvers<void>();
    const it_ = coordinator({
      undos: {
        demote: async () => {
          await demoted.promise;
          calls.push('demote');
        },
      },
    });
    it_.elected(new FakeLeadership(clock));
    await settle();
    expect(it_.state.phase).toBe('active');
    it_.fall(1, PLANNED);
    let isGivenUp = false;
    void it_.givenUp(1).then(() => {
      isGivenUp = true;
    });
    await settle();
    expect(calls.slice(5)).toEqual(['close_gate', 'stop_backend', 'deactivate']);
    expect(isGivenUp).toBe(false);
    demoted.resolve();
    await settle();
    expect(isGivenUp).toBe(true);
    expect(givenUp).toEqual([PLANNED]);
    await it_.idle();
  });

  it('undoes and tells of a failure when a step takes too long', async () => {
    const it_ = coordinator({ steps: { start_backend: never } });
    it_.elected(new FakeLeadership(clock));
    await clock.advance(1000);
    expect(it_.state.phase).toBe('rising');
    await clock.advance(500);
    expect(it_.state.phase).toBe('standby');
    expect(calls).toEqual(['settle', 'promote', 'activate', 'stop_backend', 'deactivate', 'demote']);
    expect(givenUp[0]).toMatchObject({ isFailure: true, leaseHeld: true });
    expect(givenUp[0]?.reason).toContain('did not end within 1000 ms');
  });

  it('aborts the running step when leadership is lost, and waits for it no longer than the grace', async () => {
    let signal: AbortSignal | undefined;
    const it_ = coordinator({
      steps: {
        promote: (context) => {
          signal = context.signal;
          return never();
        },
      },
    });
    it_.elected(new FakeLeadership(clock));
    await settle();
    it_.fall(1, LOST);
    expect(signal?.aborted).toBe(true);
    await clock.advance(499);
    expect(it_.state.phase).toBe('rising');
    await clock.advance(1);
    expect(it_.state.phase).toBe('standby');
    expect(givenUp).toEqual([LOST]);
  });

  it.each([LOST, undefined])('demotes after a promotion that succeeds although it was aborted (%o)', async (fall) => {
    const late = Promise.withResolvers<void>();
    const it_ = coordinator({ steps: { promote: () => late.promise } });
    it_.elected(new FakeLeadership(clock));
    await settle();
    if (fall === undefined) await clock.advance(1000);
    else it_.fall(1, fall);
    await clock.advance(100);
    late.resolve();
    await settle();
    expect(calls).toEqual(['settle', 'demote']);
    expect(givenUp).toMatchObject([fall ?? { isFailure: true, leaseHeld: true }]);
  });

  it('asks for a bound again while the step runs', async () => {
    let boundMs = 60_000;
    const it_ = coordinator({ steps: { promote: never }, promoteTimeoutMs: () => boundMs });
    it_.elected(new FakeLeadership(clock));
    await clock.advance(5000);
    expect(it_.state.phase).toBe('rising');
    boundMs = 4000;
    await clock.advance(1000);
    expect(it_.state.phase).toBe('standby');
    expect(givenUp[0]?.reason).toContain('did not end within 4000 ms');
  });

  it('goes on down when an undo fails or hangs', async () => {
    const it_ = coordinator({
      undos: {
        close_gate: async () => {
          throw new Error('no');
        },
        stop_backend: never,
      },
    });
    it_.elected(new FakeLeadership(clock));
    await settle();
    it_.fall(1, LOST);
    await clock.advance(1000);
    expect(calls.slice(5)).toEqual(['deactivate', 'demote']);
    expect(it_.state.phase).toBe('standby');
  });

  it('turns grace into haste when the lease is lost, or its deadline passes, during a planned step-down', async () => {
    for (const how of ['told', 'clock'] as const) {
      let urgent: AbortSignal | undefined;
      const it_ = coordinator({
        undos: {
          stop_backend: (context) => {
            urgent = context.urgent;
            return new Promise((resolve) => context.urgent.addEventListener('abort', () => resolve()));
          },
        },
      });
      it_.elected(new FakeLeadership(clock, 1, how === 'told' ? 10_000 : 600));
      await settle();
      it_.fall(1, PLANNED);
      await settle();
      expect(urgent?.aborted).toBe(false);
      if (how === 'told') it_.fall(1, LOST);
      else await clock.advance(600);
      await settle();
      expect(urgent?.aborted).toBe(true);
      expect(it_.state.phase).toBe('standby');
    }
  });

  it('is not hasty while renewals move the deadline on', async () => {
    let urgent: AbortSignal | undefined;
    const it_ = coordinator({
      undos: {
        stop_backend: (context) => {
          urgent = context.urgent;
          return never();
        },
      },
    });
    const leadership = new FakeLeadership(clock, 1, 300);
    it_.elected(leadership);
    await settle();
    it_.fall(1, PLANNED);
    for (let i = 0; i < 9; i++) {
      leadership.until = clock.monotonic() + 300;
      await clock.advance(100);
      expect(urgent?.aborted).toBe(false);
    }
  });

  it('gives haste from the start when the lease was lost', async () => {
    let urgent = false;
    const it_ = coordinator({
      undos: {
        close_gate: async (context) => {
          urgent = context.urgent.aborted;
        },
      },
    });
    it_.elected(new FakeLeadership(clock));
    await settle();
    it_.fall(1, LOST);
    await settle();
    expect(urgent).toBe(true);
  });
});
