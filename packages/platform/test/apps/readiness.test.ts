import type { DatabaseRole, DatabaseStatus } from '@canopy/core';
import { describe, expect, it } from 'vitest';
import { canAnotherTakeOver, databaseObstacle, idleRole, patienceMs } from '../../src/apps/readiness.ts';
import { handoffProblem } from '../../src/apps/status.ts';
import type { Member } from '../../src/members/machine.ts';
import type { MemberApp } from '../../src/members/record.ts';
import { FakeDatabase, FakeLog } from '../fakes/database.ts';
import { recordOf } from '../members/records.ts';

function status(role: DatabaseRole, problem?: string): DatabaseStatus {
  return { ...new FakeDatabase(new FakeLog()).status(), role, problem };
}

function member(id: string, app: Partial<MemberApp>, facts: { health?: Member['health']; cordoned?: boolean } = {}) {
  const apps = { x: { role: 'standby' as const, serving: false, ...app } };
  const record = recordOf(id, { apps, cordoned: facts.cordoned ?? false });
  return { record, revision: 1, health: facts.health ?? 'alive', seenAt: 0 } satisfies Member;
}

it.each<[DatabaseRole, string]>([
  ['standby', 'standby'],
  ['opening', 'starting'],
  ['closed', 'starting'],
  ['demoting', 'demoting'],
  ['promoting', 'demoting'],
  ['primary', 'demoting'],
  ['failed', 'failed'],
])('a database that is %s in no term makes the app %s, and only a standby can be promoted', (role, shown) => {
  expect(idleRole(status(role), false)).toBe(shown);
  expect(databaseObstacle(status(role, 'why'))).toBe(role === 'standby' ? undefined : `the database is ${role}: why`);
});

it('an app without a database is a standby; one whose database is being opened anew has failed', () => {
  expect(idleRole(undefined, false)).toBe('standby');
  expect(idleRole(status('standby'), true)).toBe('failed');
});

describe('another node', () => {
  const good: Partial<MemberApp> = { lagMs: 0 };
  it.each<[string, Member, boolean]>([
    ['a standby that knows its lag', member('n2', good), true],
    ['a standby that does not', member('n2', {}), false],
    ['one whose last term failed', member('n2', { ...good, problem: 'start_backend: no' }), true],
    ['one that is starting', member('n2', { ...good, role: 'starting' }), false],
    ['one that is silent', member('n2', good, { health: 'suspect' }), false],
    ['one that is cordoned', member('n2', good, { cordoned: true }), false],
    ['this node itself', member('n1', good), false],
  ])('%s', (_, other, can) => {
    expect(canAnotherTakeOver('x', 'n1', [member('n0', { role: 'failed' }), other])).toBe(can);
    expect(canAnotherTakeOver('y', 'n1', [other])).toBe(false);
  });

  it('makes patience short, and longer with each failure, up to what nobody else would get', () => {
    const patience = (failures: number): number => patienceMs(120_000, 20_000, true, failures);
    expect([0, 1, 2, 3, 2000].map(patience)).toEqual([20_000, 40_000, 80_000, 120_000, 120_000]);
    expect(patienceMs(120_000, 20_000, false, 0)).toBe(120_000);
    expect(patienceMs(1000, 20_000, true, 0)).toBe(1000);
  });

  it('is refused a handoff with its role and its problem', () => {
    const problem = (app: Partial<MemberApp>) => handoffProblem('x', 'n1', 'n2', member('n2', app));
    expect(problem({})).toBeUndefined();
    expect(problem({ role: 'starting', problem: 'the log has a gap' })).toBe(
      'its role is starting (the log has a gap)',
    );
    expect(problem({ role: 'demoting' })).toBe('its role is demoting');
  });
});
