/** The checkers must reject what breaks a promise, each for its own reason. */
import type { LogEvent } from '@canopy/replication';
import { describe, expect, it } from 'vitest';
import { type Ack, type Acknowledged, checkFollowing } from '../../src/replication-crash/history.ts';
import { checkCounts, checkMasters } from '../../src/replication-crash/masters-history.ts';
import { DECK_ROUNDS, planRounds, withoutCuts } from '../../src/replication-crash/plan.ts';

const at = (sequence: number, event: object): LogEvent => ({ sequence, storedAt: 0, topic: '', event: event as never });
const claim = (sequence: number, epoch: number, node: string) =>
  at(sequence, { type: 'replication.epoch', epoch, node, claim: `c${epoch}` });
const write = (sequence: number, epoch: number, number: number, node: string, key: string, value: string) =>
  at(sequence, { type: 'replication.write', epoch, number, node, key, value });
let tick = 0;
const told = (sequence: number, node: string, key: string, value: string, ack: Ack = 'stream'): Acknowledged => {
  return { node, disk: 1, ack, key, value, sequence, begun: tick++, ended: tick++ };
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
  it('lets a write go that was acknowledged locally, and nothing more than that', () => {
    const lost = (ack: Ack) => checkFollowing(log, [told(5, 'b', 'k', 'z', ack)]);
    expect(lost('local')).toMatchObject({ problems: [], lost: 1 });
    for (const ack of ['stream', 'followers:1'] as const)
      expect(lost(ack).problems).toEqual([expect.stringMatching(/not there/)]);
  });
  it('rejects what a session must not be shown: older than what it has seen, or nothing of the log', () => {
    const shown = (value: string | null, floor: number) =>
      checkFollowing(log, [], [{ node: 'f', key: 'k', value, floor }]).problems;
    expect([...shown('x', 3), ...shown('y', 2), ...shown('y', 4), ...shown(null, 1)]).toEqual([]);
    expect(shown('x', 4)).toEqual([expect.stringMatching(/had seen 4/)]);
    expect(shown(null, 2)).toEqual([expect.stringMatching(/had seen 2/)]);
    expect(shown('other', 0)).toEqual([expect.stringMatching(/no write/)]);
  });
});

describe('masters', () => {
  const event = (masterId: string, number: number, hlc: string, value: string, life = {}) => {
    return {
      type: 'write',
      masterId,
      entityId: 'k',
      data: { value },
      hlc,
      vectorClock: { [masterId]: number },
      ...life,
    };
  };
  const logOf = (...events: object[]) => events.map((each, i) => at(i + 1, each));
  const log = [event('a', 1, '2-a', 'x'), event('b', 1, '1-b', 'y')];
  const a = (value: string, ack: Ack = 'log', disk = 1) => ({ ...told(0, 'a', 'k', value, ack), disk });
  const check = (events: object[], acknowledged: Acknowledged[], shown: string | undefined, disks = {}) =>
    checkMasters(logOf(...events), acknowledged, new Map(shown === undefined ? [] : [['k', shown]]), disks);
  it('takes the latest in hybrid order, packs, and the same event twice', () => {
    expect(check(log, [a('x')], 'x').problems).toEqual([]);
    expect(check([...log, event('b', 1, '1-b', 'y')], [a('x')], 'x').problems).toEqual([]);
    const pack = { type: 'events', masterId: 'a', events: [event('a', 2, '3-a', 'z'), event('a', 3, '4-a', 'last')] };
    expect(check([...log, pack], [a('z')], 'last').problems).toEqual([]);
  });
  it('rejects what is lost, what shows and should not, and numbers left out', () => {
    for (const ack of ['log', 'local'] as const)
      expect(check(log, [a('z', ack)], undefined).problems).toEqual([expect.stringMatching(/lost/)]);
    expect(check(log, [], 'y').problems).toEqual([expect.stringMatching(/shows y/)]);
    expect(check([...log, event('a', 3, '3-a', 'z')], [], undefined).problems).toEqual([
      expect.stringMatching(/holes/),
    ]);
  });
  it('lets go with a disk what only that disk had, from its end', () => {
    const disks = { a: 2 };
    expect(check(log, [a('x', 'local'), a('z', 'local')], 'x', disks)).toEqual({ problems: [], lost: 1 });
    expect(check(log, [a('z', 'log')], undefined, disks).problems).toEqual([expect.stringMatching(/lost/)]);
    expect(check(log, [a('z', 'local', 2)], undefined, disks).problems).toEqual([expect.stringMatching(/lost/)]);
    const early = [a('z', 'local'), a('x', 'local')];
    expect(check(log, early, 'x', disks).problems).toEqual([expect.stringMatching(/before a write that counts/)]);
  });
  it('does not count what an earlier life wrote behind a gap, or after its successor announced itself', () => {
    const join = (incarnation: string, since: number) => ({ type: 'join', masterId: 'a', incarnation, since });
    const one = (number: number, value: string) => event('a', number, `1-${number}`, value, { incarnation: 'one' });
    const events = [
      join('one', 0),
      one(1, 'first'),
      one(3, 'behind'),
      join('two', 3),
      one(2, 'late'),
      event('a', 2, '2-2', 'second', { incarnation: 'two' }),
    ];
    expect(check(events, [a('first'), a('second', 'log', 2)], 'second', { a: 2 }).problems).toEqual([]);
    for (const value of ['behind', 'late'])
      expect(check(events, [a(value)], undefined, { a: 2 }).problems).not.toEqual([]);
    const outdated = [...events, join('three', 1)];
    expect(check(outdated, [a('second')], 'second').problems).toEqual([]);
    const third = event('a', 3, '3-3', 'third', { incarnation: 'two' });
    const leaves = (incarnation: string) => [...events, { type: 'leave', masterId: 'a', by: 'b', incarnation }, third];
    expect(check(leaves('one'), [a('third')], 'third').problems).toEqual([]);
    expect(check(leaves('two'), [], 'second').problems).toEqual([]);
  });
  it('rejects counters that lost an increment or made one', () => {
    const counts = { asked: 5, acknowledged: [1, 1, 2].map((disk) => ({ node: 'a', disk })) };
    expect([...checkCounts(counts, 3), ...checkCounts(counts, 5), ...checkCounts(counts, 1, { a: 2 })]).toEqual([]);
    expect([...checkCounts(counts, 2), ...checkCounts(counts, 6), ...checkCounts(counts, 0, { a: 2 })]).toHaveLength(3);
  });
});

describe('the plan', () => {
  it('is that of its seed, and sees each fault of either group in one deck', () => {
    expect(planRounds('s', 20)).toEqual(planRounds('s', 20));
    expect(planRounds('s', 20)).not.toEqual(planRounds('t', 20));
    const deck = planRounds('s', DECK_ROUNDS);
    for (const group of ['following', 'masters'] as const)
      expect(new Set(deck.map((round) => `${round[group].kind} ${round[group].victim}`)).size).toBe(DECK_ROUNDS);
    expect(planRounds('s', 1).length).toBe(1);
    expect(deck.map(withoutCuts).flatMap(({ following, masters }) => [following.kind, masters.kind])).not.toContain(
      'cut',
    );
  });
});
