import { memoryLogger, memoryMetrics, VirtualClock } from '@canopy/core/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CLOCK_AHEAD,
  CLOCK_REJECTIONS,
  compareHybridTimestamps,
  formatHybridTimestamp,
  HybridClock,
  type HybridTimestamp,
  parseHybridTimestamp,
} from '../../src/index.ts';

const WALL = 1_700_000_000_000;
const timestamp: fc.Arbitrary<HybridTimestamp> = fc.record({
  wallMs: fc.oneof(fc.nat(3), fc.nat(2 ** 31), fc.constant(2 ** 48 - 1)),
  counter: fc.oneof(fc.nat(2), fc.constant(0xffff)),
  nodeId: fc.constantFrom('a', 'b', 'A', '10', '9', 'node-1', 'node-10', 'node_1'),
});
const sign = (order: number): number => Math.sign(order);

describe('hybrid timestamps as text', () => {
  it('have this form, which others have stored', () => {
    const text = '018bcfe56800-002a-node-1';
    expect(formatHybridTimestamp({ wallMs: WALL, counter: 42, nodeId: 'node-1' })).toBe(text);
    expect(parseHybridTimestamp(text)).toEqual({ wallMs: WALL, counter: 42, nodeId: 'node-1' });
  });

  it('sort as they compare, as bytes and as text, and read back', () => {
    fc.assert(
      fc.property(timestamp, timestamp, (a, b) => {
        const [x, y] = [formatHybridTimestamp(a), formatHybridTimestamp(b)];
        expect(x < y ? -1 : x > y ? 1 : 0).toBe(sign(compareHybridTimestamps(a, b)));
        expect(Buffer.compare(Buffer.from(x), Buffer.from(y))).toBe(sign(compareHybridTimestamps(a, b)));
        expect(parseHybridTimestamp(x)).toEqual(a);
      }),
    );
  });

  it.each([
    [''],
    ['018bcfe56800-002a-'],
    ['018BCFE56800-002a-n'],
    ['18bcfe56800-002a-n'],
    ['018bcfe56800-002a-bad name'],
    ['018bcfe56800-002a-n\n'],
    [null],
    [5],
    [{}],
  ])('is not read from %j', (text) => {
    expect(() => parseHybridTimestamp(text)).toThrow(expect.objectContaining({ code: 'HYBRID_TIMESTAMP_INVALID' }));
  });
});

describe('HybridClock', () => {
  const rig = (options: { floor?: string; maxDrift?: string; nodeId?: string } = {}) => {
    const clock = new VirtualClock({ wall: WALL });
    const observer = { ...memoryLogger(), ...memoryMetrics() };
    return { clock, ...observer, hybrid: new HybridClock({ nodeId: 'b', ...options }, { clock, ...observer }) };
  };

  it('follows the wall clock, and counts within a millisecond', async () => {
    const { clock, hybrid } = rig();
    expect([hybrid.now(), hybrid.now()].map(formatHybridTimestamp)).toEqual([
      '018bcfe56800-0000-b',
      '018bcfe56800-0001-b',
    ]);
    await clock.advance(1);
    expect(hybrid.now()).toEqual({ wallMs: WALL + 1, counter: 0, nodeId: 'b' });
  });

  it('never repeats or goes back, whatever the wall clock and the others do', () => {
    const step = fc.oneof(
      fc.record({ step: fc.integer({ min: -5, max: 5 }) }),
      fc.record({ seen: timestamp }),
      fc.constant({ now: true }),
      fc.constant({ restart: true }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const { clock, hybrid: first } = rig();
        let hybrid = first;
        let last = hybrid.now();
        for (const each of steps) {
          if ('step' in each) clock.stepWall(each.step);
          else if ('restart' in each) hybrid = new HybridClock({ nodeId: 'b', floor: hybrid.last as never }, { clock });
          else if ('seen' in each) {
            const seen = { ...each.seen, wallMs: clock.wall() + (each.seen.wallMs % 4) };
            hybrid.observe(formatHybridTimestamp(seen));
            const next = hybrid.now();
            expect(compareHybridTimestamps(next, seen)).toBeGreaterThan(0);
            expect(compareHybridTimestamps(next, last)).toBeGreaterThan(0);
            last = next;
          } else {
            const next = hybrid.now();
            expect(compareHybridTimestamps(next, last)).toBeGreaterThan(0);
            last = next;
          }
        }
      }),
    );
  });

  it('goes on into the next millisecond when a counter is used up', () => {
    const { hybrid } = rig({ floor: formatHybridTimestamp({ wallMs: WALL, counter: 0xffff, nodeId: 'z' }) });
    expect(hybrid.now()).toEqual({ wallMs: WALL + 1, counter: 0, nodeId: 'b' });
  });

  it('refuses, counts and tells what comes from more than a minute ahead, and is as before', async () => {
    const { clock, hybrid, lines, value } = rig();
    const at = (wallMs: number): HybridTimestamp => ({ wallMs, counter: 0, nodeId: 'a' });
    hybrid.observe(at(WALL + 60_000));
    const before = hybrid.last;
    expect(hybrid.excessMs(at(WALL + 60_250))).toBe(250);
    expect(() => hybrid.observe(at(WALL + 60_001))).toThrow(
      expect.objectContaining({ code: 'HYBRID_CLOCK_DRIFT', fields: expect.objectContaining({ aheadMs: 60_001 }) }),
    );
    expect(() => hybrid.observe(at(WALL + 90_000))).toThrow('90000 ms ahead of the wall clock of b');
    expect([hybrid.rejected, hybrid.last]).toEqual([2, before]);
    expect(lines.map(({ event }) => event)).toEqual(['timestamp refused', 'timestamp refused']);
    expect(value(CLOCK_REJECTIONS.name, { node: 'b' })).toBe(2);
    expect(hybrid.status()).toMatchObject({ aheadMs: 60_000, rejected: 2, rejectedAheadMs: 90_000 });
    expect(value(CLOCK_AHEAD.name, { node: 'b' })).toBe(60_000);
    await clock.advance(60_000);
    expect(hybrid.status().aheadMs).toBe(0);
    expect(hybrid.observe(at(WALL + 90_000))).toEqual(at(WALL + 90_000));
  });

  it('takes the drift that it is told to', () => {
    const { hybrid } = rig({ maxDrift: '1s' });
    expect(() => hybrid.observe({ wallMs: WALL + 1001, counter: 0, nodeId: 'a' })).toThrow('1000 ms are allowed');
  });

  it('refuses options and timestamps that make no sense', () => {
    expect(() => new HybridClock({ nodeId: 'a b', maxDrift: 'x' })).toThrow(/nodeId is not allowed.*|maxDrift/);
    expect(() => new HybridClock({ nodeId: 'a', floor: 'never' })).toThrow('is not the text of one');
    const { hybrid } = rig();
    for (const wrong of [{ wallMs: -1 }, { wallMs: 2 ** 48 }, { counter: 65_536 }, { counter: 0.5 }, { nodeId: '' }])
      expect(() => hybrid.observe({ wallMs: 5, counter: 0, nodeId: 'a', ...wrong })).toThrow('hybrid timestamp');
    expect(hybrid.last).toBeUndefined();
  });
});
