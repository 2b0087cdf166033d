/** The parts that are pure. */
import { VirtualClock } from '@canopy/core/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FollowerRegistry } from '../../src/leader-follower/follower-registry.ts';
import { AppendWindow } from '../../src/leader-follower/log/append-window.ts';
import { EpochFence } from '../../src/leader-follower/log/epoch-fence.ts';
import { Freshness } from '../../src/leader-follower/log/freshness.ts';
import { parseRecord, type WriteRecord } from '../../src/leader-follower/log/log-records.ts';
import { SequenceOrder } from '../../src/leader-follower/plain/sequence-order.ts';
import { Recovery } from '../../src/leader-follower/recovery-progress.ts';

describe('the order of sequences', () => {
  it('hands out each once and in order, whatever comes how often, within its limit', () => {
    const arrivals = fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 60 });
    const property = fc.property(arrivals, fc.integer({ min: 0, max: 5 }), (sequences, limit) => {
      const order = new SequenceOrder<number>(0, limit);
      const out: number[] = [];
      for (const sequence of sequences) {
        order.offer(sequence, sequence);
        for (let next = order.next(); next !== undefined; next = order.next()) {
          out.push(next.item);
          order.pass();
        }
        expect(order.waiting).toBeLessThanOrEqual(limit + 1);
      }
      expect(out).toEqual(out.map((_, i) => i + 1));
      expect(order.applied).toBe(out.length);
    });
    fc.assert(property, { numRuns: 300 });
  });

  it('keeps those nearest to their turn, and skips what is missing only when told', () => {
    const order = new SequenceOrder<string>(2, 2);
    expect([order.offer(9, 'i'), order.offer(8, 'h'), order.offer(5, 'e'), order.offer(9, 'i')]).toEqual([
      'taken',
      'taken',
      'full',
      'full',
    ]);
    expect([order.offer(2, 'b'), order.next(), order.missing()]).toEqual(['duplicate', undefined, { from: 3, to: 4 }]);
    expect(order.skip()).toEqual({ from: 3, to: 4 });
    expect(order.next()).toEqual({ sequence: 5, item: 'e' });
    order.advance(8);
    expect([order.applied, order.waiting, order.skip()]).toEqual([8, 0, undefined]);
  });
});

describe('the window of appends', () => {
  it('confirms in order only, at the place that was expected', () => {
    const window = new AppendWindow<string>(10);
    const [a, b, c] = [window.enter('a'), window.enter('b'), window.enter('c')] as const;
    expect([a.predicted, c.predicted, c.number]).toEqual([11, 13, 3]);
    window.acknowledge(b, 12);
    expect(window.confirmed()).toEqual([]);
    window.acknowledge(a, 11);
    expect(window.confirmed().map(({ item }) => item)).toEqual(['a', 'b']);
    window.acknowledge(c, 14);
    expect([window.broken, window.confirmed(), window.size]).toEqual([true, [], 1]);
  });

  it('after a failure nothing behind it is confirmed, and it goes on from the end that was read', () => {
    const window = new AppendWindow<string>(0);
    const [a, b, c] = [window.enter('a'), window.enter('b'), window.enter('c')] as const;
    window.acknowledge(a, 1);
    window.fail(b, new Error('lost'));
    expect([window.settled, window.confirmed().length]).toEqual([false, 1]);
    window.acknowledge(c, 3);
    expect([window.settled, window.confirmed()]).toEqual([true, []]);
    expect(window.reopen(7).map(({ item, state }) => [item, state])).toEqual([
      ['b', 'failed'],
      ['c', 'acknowledged'],
    ]);
    expect([window.enter('d').predicted, window.broken]).toEqual([8, false]);
  });
});

describe('the fence', () => {
  const epoch = (n: number, node = `n${n}`) =>
    ({ type: 'replication.epoch', namespace: 't', epoch: n, node, claim: `c${n}`, timestamp: 0 }) as const;
  const write = (n: number): WriteRecord =>
    ({
      type: 'replication.write',
      namespace: 't',
      key: 'k',
      operation: 'create',
      epoch: n,
      number: 1,
      node: `n${n}`,
      timestamp: 0,
    }) as const;

  it('lets the greatest epoch so far through, and nothing else', () => {
    const fence = new EpochFence(0);
    const verdicts = [epoch(2), write(2), write(1), epoch(2, 'other'), epoch(5), write(2), write(5)].map((one) =>
      fence.judge(one),
    );
    expect(verdicts).toEqual(['epoch', 'write', 'stale', 'stale', 'epoch', 'stale', 'write']);
    expect([fence.epoch, fence.leaderId, fence.claim]).toEqual([5, 'n5', 'c5']);
    const copy = fence.copy();
    copy.judge(write(6));
    expect([copy.leaderId, copy.claim, fence.epoch]).toEqual(['n6', undefined, 5]);
  });

  it('passes over what is no record of the namespace', () => {
    for (const event of [
      null,
      7,
      'x',
      [],
      {},
      { ...epoch(1), namespace: 'u' },
      { ...epoch(1), epoch: 'x' },
      { ...write(1), operation: 'x' },
    ])
      expect(parseRecord(event as never, 't')).toBeUndefined();
    expect(parseRecord(write(1) as never, 't')).toBeDefined();
  });
});

it('a replica is as fresh as the question whose end it has applied', () => {
  const fresh = new Freshness(1000);
  fresh.answered(1500, 10, 8);
  expect([fresh.ageMs(2000), fresh.end]).toEqual([1000, 10]);
  fresh.applied(9);
  expect(fresh.ageMs(2000)).toBe(1000);
  fresh.applied(10);
  expect(fresh.ageMs(2000)).toBe(500);
  for (let i = 0; i < 40; i++) fresh.answered(2000 + i, 20 + i, 10);
  fresh.applied(20);
  expect(fresh.ageMs(3000)).toBe(1000);
  fresh.applied(100);
  expect(fresh.ageMs(3000)).toBe(3000 - 2039);
});

it('progress has a percentage, a rate and the time that is left', () => {
  const recovery = new Recovery();
  expect(recovery.progress(0)).toMatchObject({ phase: 'none', percent: 100 });
  recovery.begin('log', 100, 300, 1000);
  expect(recovery.progress(1000)).toMatchObject({
    phase: 'log',
    done: 0,
    total: 200,
    percent: 0,
    perSecond: undefined,
  });
  recovery.advance(150, 50);
  expect(recovery.progress(2000)).toMatchObject({ percent: 25, perSecond: 50, leftMs: 3000 });
  recovery.advance(400, 250);
  expect([recovery.progress(2000).percent, recovery.recovered, recovery.end(3000), recovery.active]).toEqual([
    100,
    300,
    2000,
    false,
  ]);
});

it('followers that lose their disk count again only when they are there again', async () => {
  const clock = new VirtualClock();
  const registry = new FollowerRegistry(clock);
  registry.report('x', 5);
  registry.report('y', 5, true);
  expect([registry.ids(), registry.reached(5)]).toEqual([['y'], 1]);
  registry.report('y', 1);
  const waits = registry.whenReached(5, 1, 1000);
  registry.report('y', 6);
  expect(await waits).toBe(1);
  const late = registry.whenReached(9, 2, 1000);
  registry.report('y', 9);
  await clock.advance(1000);
  expect(await late).toBe(1);
});
