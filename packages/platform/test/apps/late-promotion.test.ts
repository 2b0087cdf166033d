import { noGuard, systemEnv } from '@canopy/core';
import { settle, VirtualClock } from '@canopy/core/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Coordinator } from '../../src/apps/coordinator.ts';
import { DatabaseKeeper } from '../../src/apps/database-keeper.ts';
import { HookRunner } from '../../src/apps/hooks.ts';
import { resolveAppOptions, singleton } from '../../src/apps/options.ts';
import type { Fall } from '../../src/apps/role-machine.ts';
import { RouteBoard } from '../../src/apps/route-board.ts';
import { TermSteps } from '../../src/apps/term-steps.ts';
import { Timeline } from '../../src/apps/timeline.ts';
import { DatabaseAccess } from '../../src/database/access.ts';
import { FakeDatabases } from '../fakes/database.ts';
import { FakeLeadership } from '../fakes/leadership.ts';

const LOST: Fall = { reason: 'lease_expired', leaseHeld: false, isFailure: false };
const PATIENCE_MS = 2000;

let clock: VirtualClock;
let databases: FakeDatabases;
let keeper: DatabaseKeeper;
let steps: TermSteps;
let coordinator: Coordinator;
let timeline: Timeline;
let hooks: string[];
/** Terms in which the app may use its database. */
let usable: number[];
beforeEach(async () => {
  clock = new VirtualClock();
  const env = systemEnv({ clock });
  databases = new FakeDatabases();
  hooks = [];
  const options = resolveAppOptions(
    'x',
    {
      mode: singleton(),
      database: databases,
      onActive: () => void hooks.push('active'),
      onStandby: () => void hooks.push('standby'),
    },
    { ttlMs: 10_000 },
  );
  const connection = { servers: [] } as never;
  keeper = new DatabaseKeeper({
    provider: databases,
    context: { platform: 'p', app: 'x', node: 'n1', connection, env, guard: noGuard },
    onEvent: () => {},
  });
  await keeper.start();
  timeline = new Timeline(clock, () => {});
  const sources = { app: 'x', node: 'n1', leader: () => undefined, member: () => undefined, members: () => [] };
  const reach = { leader: () => undefined, database: () => keeper.database, hasDatabase: true };
  const access = new DatabaseAccess({ app: 'x', node: 'n1', clock, ...reach });
  const begin = access.begin.bind(access);
  usable = [];
  access.begin = (leadership, database) => {
    usable.push(leadership.epoch);
    begin(leadership, database);
  };
  steps = new TermSteps({
    access,
    options,
    keeper,
    backend: undefined,
    proxy: undefined,
    board: new RouteBoard(sources),
    hooks: new HookRunner('x', 'n1', env),
    timeline,
    patience: () => PATIENCE_MS,
    clock,
    log: env.log,
  });
  const undoTimeoutMs = { close_gate: 1000, stop_backend: 1000, deactivate: 1000, demote: 30_000 };
  coordinator = new Coordinator(
    {
      app: 'x',
      steps: steps.steps,
      undos: steps.undos,
      stepTimeoutMs: { settle: 10_000, promote: 1000, activate: 1000, start_backend: 1000, serve: 1000 },
      undoTimeoutMs,
      abortGraceMs: 500,
      onGivenUp: () => {},
      onChanged: () => {},
    },
    env,
  );
});
afterEach(() => keeper.stop());

const events = () => timeline.entries().map(({ event }) => event);

/** A promotion that heeds no signal; the returned function lets it succeed. */
function deafPromotion(): () => void {
  const late = Promise.withResolvers<void>();
  databases.latest.isDeaf = true;
  databases.latest.beforePromote = () => late.promise;
  return late.resolve;
}

describe('a promotion that resolves after its abort', () => {
  it('is followed by a demotion before the next term begins', async () => {
    const succeed = deafPromotion();
    const database = databases.latest;
    coordinator.elected(new FakeLeadership(clock, 1));
    await settle();
    coordinator.fall(1, LOST);
    // The lease is given up after the grace, without it: nothing was written under it.
    await clock.advance(500);
    expect(coordinator.state.phase).toBe('standby');
    expect(database.calls).toEqual(['start', 'promote']);
    coordinator.elected(new FakeLeadership(clock, 2));
    await clock.advance(1000);
    expect(coordinator.state).toMatchObject({ phase: 'rising', running: 'settle' });
    succeed();
    await clock.advance(100);
    expect(database.calls).toEqual(['start', 'promote', 'demote', 'demoted', 'promote']);
    expect(coordinator.state).toEqual({ phase: 'active', epoch: 2 });
    expect(database).toMatchObject({ role: 'primary', epoch: 2 });
    expect(hooks).toEqual(['standby', 'active']);
    expect(usable).toEqual([2]);
  });

  it('is taken back in the background when no term follows', async () => {
    const succeed = deafPromotion();
    coordinator.elected(new FakeLeadership(clock, 1));
    await clock.advance(1500);
    expect(coordinator.state.phase).toBe('standby');
    succeed();
    await clock.advance(100);
    expect(databases.latest.role).toBe('standby');
    expect(events()).toContain('demoted');
    expect(hooks).toEqual(['standby']);
    expect(usable).toEqual([]);
  });

  it('that never resolves ends the next term soon, not after its full time', async () => {
    deafPromotion();
    coordinator.elected(new FakeLeadership(clock, 1));
    await clock.advance(1500);
    coordinator.elected(new FakeLeadership(clock, 2));
    await clock.advance(PATIENCE_MS + 100);
    expect(coordinator.state.phase).toBe('standby');
    expect(databases.latest.calls).toEqual(['start', 'promote']);
  });
});

it('a promotion that fails and has undone itself needs no demotion', async () => {
  databases.latest.promoteError = new Error('no');
  coordinator.elected(new FakeLeadership(clock, 1));
  await clock.advance(100);
  expect(coordinator.state.phase).toBe('standby');
  expect(databases.latest.calls).toEqual(['start', 'promote']);
  expect(hooks).toEqual([]);
});

it.each(['failed', 'primary'] as const)(
  'a promotion that fails and leaves the database %s is demoted',
  async (role) => {
    const database = databases.latest;
    database.beforePromote = async () => {
      database.role = role;
      throw new Error('fenced');
    };
    coordinator.elected(new FakeLeadership(clock, 1));
    await clock.advance(100);
    expect(coordinator.state.phase).toBe('standby');
    expect(database.calls).toEqual(['start', 'promote', 'demote', 'demoted']);
  },
);

it('a database that is primary without a term is sent back', async () => {
  databases.latest.role = 'primary';
  steps.retire();
  await clock.advance(100);
  expect(databases.latest.role).toBe('standby');
});

it('a term whose database does not settle ends, naming why', async () => {
  databases.latest.become('opening', 'the log has a gap');
  const failing = steps.steps.settle({ leadership: new FakeLeadership(clock), signal: new AbortController().signal });
  const told = expect(failing).rejects.toThrow('the database is opening: the log has a gap');
  await clock.advance(PATIENCE_MS + 100);
  await told;
});
