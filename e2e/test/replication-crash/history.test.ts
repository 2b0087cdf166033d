/** The checkers must reject what breaks a promise, each for its own reason. */
import type { LogEvent } from '@canopy/replication';
import { describe, expect, it } from 'vitest';
import { type Acknowledged, checkCounts, checkFollowing, checkMasters } from '../../src/replication-crash/history.ts';
import { planBlows } from '../../src/replication-crash/plan.ts';

const at = (sequence: number, event: object): LogEvent => ({ sequence, storedAt: 0, topic: '', event: event as never });
const claim = (sequence: number, epoch: number, node: string) =>
  at(sequence, { type: 'replication.epoch', epoch, node, claim: `c${epoch}` });
const write = (sequence: number, epoch: number, number: number, node: string, key: string, value: string) =>
  at(sequence, { type: 'replication.write', epoch, number, node, key, value });
let tick = 0;
const told = (sequence: number, node: string, key: string, value: string): Acknowledged => {
  return { node, key, value, sequence, begun: tick++, ended: tick++ };
};

describe('leader and followers', () => {
  const log = [claim(1, 1, 'a'), write(2, 1, 1, 'a', 'k', 'x'), claim(3, 2, 'b'), write(4, 2, 1, 'b', 'k', 'y')];
  it('takes a succession in order, and says what must show', () => {
    const { problems, state, terms } = checkFollowing(log, [told(2, 'a', 'k', 'x'), told(4, 'b', 'k', 'y')]);
    expect(problems).toEqual([]);
    expect([...state]).toEqual([['k', 'y']]);
    expect(terms).toBe(2);
  });
  const problem = (events: LogEvent[], ...acknowledged: Acknowledged[]) =>
    checkFollowing(events, acknowledged).problems;
  it('rejects a write that is lost, and one that is another', () => {
    expect(problem(log, told(5, 'b', 'k', 'z'))).toEqual([expect.stringMatching(/not there/)]);
    expect(problem(log, told(2, 'a', 'k', 'other'))).toEqual([expect.stringMatching(/not there/)]);
  });
  it('rejects what a deposed leader acknowledged, and does not let it count', () => {
    const late = [...log, write(5, 1, 2, 'a', 'k', 'late')];
    expect(problem(late)).toEqual([]);
    expect(checkFollowing(late, []).state.get('k')).toBe('y');
    expect(problem(late, told(5, 'a', 'k', 'late'))).toEqual([expect.stringMatching(/after its successor/)]);
  });
  it('rejects a hole, a number left out, a write that counts twice, and the wrong order', () => {
    expect(problem([...log.slice(0, 2), claim(4, 2, 'b')])).toEqual([expect.stringMatching(/event 3/)]);
    expect(problem([...log, write(5, 2, 3, 'b', 'k', 'z')])).toEqual([expect.stringMatching(/write 3/)]);
    expect(problem([...log, write(5, 2, 2, 'b', 'k', 'y')])).toEqual([expect.stringMatching(/twice/)]);
    expect(problem(log, told(4, 'b', 'k', 'y'), told(2, 'a', 'k', 'x'))).toEqual([expect.stringMatching(/behind it/)]);
  });
});

describe('masters', () => {
  const event = (sequence: number, masterId: string, number: number, hlc: string, value: string) => {
    const vectorClock = { [masterId]: number };
    return at(sequence, { type: 'write', masterId, entityId: 'k', data: { value }, hlc, vectorClock });
  };
  const log = [event(1, 'a', 1, '2-a', 'x'), event(2, 'b', 1, '1-b', 'y')];
  const x = told(0, 'a', 'k', 'x');
  it('takes the latest in hybrid order, and the same event twice', () => {
    expect(checkMasters(log, [x], new Map([['k', 'x']]))).toEqual([]);
    expect(checkMasters([...log, event(3, 'b', 1, '1-b', 'y')], [x], new Map())).toEqual([]);
  });
  it('rejects what is lost, what shows and should not, and numbers left out', () => {
    expect(checkMasters(log, [told(0, 'a', 'k', 'z')], new Map())).toEqual([expect.stringMatching(/lost/)]);
    expect(checkMasters(log, [], new Map([['k', 'y']]))).toEqual([expect.stringMatching(/shows y/)]);
    expect(checkMasters([...log, event(3, 'a', 3, '3-a', 'z')], [], new Map())).toEqual([
      expect.stringMatching(/holes/),
    ]);
  });
  it('rejects counters that lost an increment or made one', () => {
    expect(checkCounts(3, 5, 4)).toEqual([]);
    expect([...checkCounts(3, 5, 2), ...checkCounts(3, 5, 6)]).toHaveLength(2);
  });
});

describe('the plan', () => {
  it('is that of its seed, and sees each fault in ten rounds', () => {
    expect(planBlows('s', 20)).toEqual(planBlows('s', 20));
    expect(planBlows('s', 20)).not.toEqual(planBlows('t', 20));
    const kinds = new Set(planBlows('s', 10).map(({ kind, victim }) => `${kind} ${victim}`));
    expect(kinds.size).toBe(10);
    expect(planBlows('s', 1).length).toBe(1);
  });
});
