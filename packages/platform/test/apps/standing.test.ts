import type { DatabaseStatus } from '@canopy/core';
import { VirtualClock } from '@canopy/core/testing';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { databaseObstacle } from '../../src/apps/readiness.ts';
import { Standing } from '../../src/apps/standing.ts';
import { FakeDatabase, FakeLog } from '../fakes/database.ts';

let clock: VirtualClock;
let database: FakeDatabase;
let isIdle: boolean;
let asked: string[];
let standing: Standing;
beforeEach(() => {
  clock = new VirtualClock();
  database = new FakeDatabase(new FakeLog());
  database.role = 'standby';
  isIdle = true;
  asked = [];
  standing = new Standing({
    clock,
    isIdle: () => isIdle,
    keeper: {
      get obstacle() {
        return databaseObstacle(database.status());
      },
      status: (): DatabaseStatus => database.status(),
    },
    candidacy: {
      allow: (isAllowed) => {
        const said = isAllowed ? 'stand' : 'withdraw';
        if (asked.findLast((each) => each !== 'changed') !== said) asked.push(said);
      },
    },
    steps: { retire: () => void asked.push('retire') },
    onChanged: () => void asked.push('changed'),
  });
  standing.start();
});
afterEach(() => standing.stop());

it('withdraws when the database can not be promoted for longer than a moment, and stands again at once', async () => {
  database.role = 'opening';
  standing.look();
  await clock.advance(499);
  expect(asked).toEqual(['stand', 'changed']);
  // No event tells of it: it looks by itself.
  await clock.advance(500);
  expect(asked).toEqual(['stand', 'changed', 'withdraw']);
  database.role = 'standby';
  standing.look();
  expect(asked).toEqual(['stand', 'changed', 'withdraw', 'changed', 'stand']);
});

it('leaves a short gap alone, as after each step-down', async () => {
  for (let i = 0; i < 5; i++) {
    database.role = 'demoting';
    standing.look();
    await clock.advance(300);
    database.role = 'standby';
    standing.look();
  }
  expect(asked.filter((each) => each !== 'changed')).toEqual(['stand']);
});

it('tells of a problem that changes without an event', async () => {
  database.role = 'opening';
  await clock.advance(1000);
  const before = asked.length;
  database.problem = 'the log has a gap';
  await clock.advance(250);
  expect(asked.slice(before)).toEqual(['changed']);
});

it('does not touch a term, and takes nothing that was seen in one for long', async () => {
  database.role = 'primary';
  isIdle = false;
  await clock.advance(60_000);
  expect(asked).toEqual(['stand']);
  isIdle = true;
  await clock.advance(400);
  expect(asked).not.toContain('withdraw');
});

it('sends a database back that is primary without a term, again after a while', async () => {
  database.role = 'primary';
  await clock.advance(1000);
  expect(asked.filter((each) => each === 'retire')).toHaveLength(1);
  await clock.advance(10_000);
  expect(asked.filter((each) => each === 'retire')).toHaveLength(2);
});
