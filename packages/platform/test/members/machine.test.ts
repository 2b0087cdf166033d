import { describe, expect, it } from 'vitest';
import { type MemberEvent, MembershipMachine } from '../../src/members/machine.ts';
import { recordOf } from './records.ts';

const REFRESH = 1000;

function started(now = 0): MembershipMachine {
  const machine = new MembershipMachine(REFRESH);
  machine.synced(now);
  machine.tick(now);
  return machine;
}

/** Ticks twice per interval, as the directory does, and collects what happens. */
function pass(machine: MembershipMachine, from: number, to: number): string[] {
  const events: string[] = [];
  for (let now = from; now <= to; now += REFRESH / 2) events.push(...machine.tick(now).map(show));
  return events;
}

function show(event: MemberEvent): string {
  return event.type === 'overflow' ? event.type : `${event.type} ${event.member.record.id}`;
}

describe('membership', () => {
  it('makes a silent member suspect after 3 and gone after 5 intervals, counted from the last revision seen', () => {
    const machine = started();
    expect(machine.observe(recordOf('a'), 1, 0).map(show)).toEqual(['joined a']);
    expect(pass(machine, 500, 2500)).toEqual([]);
    machine.observe(recordOf('a'), 2, 2600);
    expect(pass(machine, 3000, 5500)).toEqual([]);
    expect(pass(machine, 6000, 6000)).toEqual(['suspected a']);
    expect(pass(machine, 6500, 7500)).toEqual([]);
    expect(pass(machine, 8000, 8000)).toEqual(['gone a']);
    expect(pass(machine, 8500, 20_000)).toEqual([]);
    expect(machine.get('a')?.health).toBe('gone');
  });

  it('takes a member back when its revision changes, and does not for an old revision', () => {
    const machine = started();
    machine.observe(recordOf('a'), 5, 0);
    expect(pass(machine, 500, 5000)).toEqual(['suspected a', 'gone a']);
    expect(machine.observe(recordOf('a'), 5, 5100)).toEqual([]);
    expect(machine.observe(recordOf('a'), 4, 5100)).toEqual([]);
    expect(machine.get('a')?.health).toBe('gone');
    expect(machine.observe(recordOf('a'), 6, 5200).map(show)).toEqual(['recovered a']);
  });

  it('never compares wall clocks: a record that claims another time is judged by its arrival alone', () => {
    const machine = started();
    machine.observe({ ...recordOf('a'), startedAt: 4_000_000_000_000 }, 1, 0);
    machine.observe({ ...recordOf('b'), startedAt: 1 }, 2, 0);
    expect(pass(machine, 500, 2500)).toEqual([]);
    expect(pass(machine, 3000, 3000)).toEqual(['suspected a', 'suspected b']);
  });

  it('tells leaving, and a new incarnation as leaving and joining', () => {
    const machine = started();
    machine.observe(recordOf('a', { incarnation: 'one' }), 1, 0);
    expect(machine.observe(recordOf('a', { incarnation: 'two' }), 2, 10).map(show)).toEqual(['left a', 'joined a']);
    expect(machine.removed('a').map(show)).toEqual(['left a']);
    expect(machine.removed('a')).toEqual([]);
    expect(machine.members()).toEqual([]);
  });

  it('reports changes that people care about, not load and lag', () => {
    const machine = started();
    const app = { role: 'standby', serving: false, lagMs: 1 } as const;
    machine.observe(recordOf('a', { apps: { x: app } }), 1, 0);
    const busier = recordOf('a', { apps: { x: { ...app, lagMs: 9 } }, load: { cpu: 0.9, memory: 0.5, disk: 0.1 } });
    expect(machine.observe(busier, 2, 1)).toEqual([]);
    const active = recordOf('a', { apps: { x: { role: 'active', serving: true, epoch: 3 } } });
    expect(machine.observe(active, 3, 2).map(show)).toEqual(['updated a']);
    expect(machine.observe({ ...active, labels: { zone: 'b' } }, 4, 3).map(show)).toEqual(['updated a']);
  });

  it('concludes nothing from silence while its watch is interrupted', () => {
    const machine = started();
    machine.observe(recordOf('a'), 1, 0);
    machine.interrupted();
    expect(pass(machine, 500, 30_000)).toEqual([]);
    machine.synced(30_000);
    expect(pass(machine, 30_500, 32_500)).toEqual([]);
    expect(pass(machine, 33_000, 33_000)).toEqual(['suspected a']);
  });

  it('concludes nothing from time in which it did not run itself', () => {
    const machine = started();
    machine.observe(recordOf('a'), 1, 0);
    machine.tick(500);
    // Frozen for a minute: the first tick afterwards must not call everybody gone.
    expect(machine.tick(60_500)).toEqual([]);
    expect(pass(machine, 61_000, 63_000)).toEqual([]);
    expect(pass(machine, 63_500, 63_500)).toEqual(['suspected a']);
  });
});
