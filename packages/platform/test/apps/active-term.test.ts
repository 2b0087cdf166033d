import type { Promotable } from '@canopy/core';
import { VirtualClock } from '@canopy/core/testing';
import { describe, expect, it } from 'vitest';
import { ActiveTerm } from '../../src/apps/active-term.ts';
import { FakeLeadership } from '../fakes/leadership.ts';

function make(sync?: () => Promise<unknown>) {
  const clock = new VirtualClock();
  const leadership = new FakeLeadership(clock, 3, 1000);
  const database = sync === undefined ? undefined : ({ sync } as unknown as Promotable);
  return { clock, leadership, term: new ActiveTerm({ leadership, backend: 'http://b', database, clock }) };
}

const signal = new AbortController().signal;

describe('a term that serves', () => {
  it('is over from the first look after a freeze past the lease', async () => {
    const { clock, term } = make();
    expect(term.isValid()).toBe(true);
    await term.confirm(signal);
    await clock.advance(1000);
    expect(term.isValid()).toBe(false);
    await expect(term.confirm(signal)).rejects.toThrow('lease');
  });

  it('takes a sync under its epoch as proof, also after the lease: the log takes nothing from a deposed one', async () => {
    const { clock, term } = make(async () => {});
    await clock.advance(5000);
    expect(term.isValid()).toBe(false);
    await term.confirm(signal);
  });

  it('confirms nothing when the sync is refused, though the lease holds', async () => {
    const { term } = make(async () => {
      throw new Error('fenced');
    });
    expect(term.isValid()).toBe(true);
    await expect(term.confirm(signal)).rejects.toThrow('fenced');
  });

  it('never takes the sync of a later term as proof of its own writes', async () => {
    const { term } = make(async () => {});
    term.end();
    await expect(term.confirm(signal)).rejects.toThrow('stepped down');
    expect(term.isValid()).toBe(false);
  });

  it('holds through a planned step-down, as long as the lease does', async () => {
    const { clock, leadership, term } = make();
    term.leave();
    leadership.end();
    expect(term.isValid()).toBe(true);
    await clock.advance(1000);
    expect(term.isValid()).toBe(false);
  });

  it('does not hold when leadership was lost', () => {
    const { leadership, term } = make();
    leadership.end();
    expect(term.isValid()).toBe(false);
  });

  it('stops waiting for a database that never answers when its caller does', async () => {
    const { term } = make(() => new Promise(() => {}));
    await expect(term.confirm(AbortSignal.abort(new Error('too late')))).rejects.toThrow('too late');
  });
});
