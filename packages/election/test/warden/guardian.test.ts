import { VirtualClock } from '@canopy/core/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { Guardian } from '../../src/warden/guardian.ts';
import type { FenceCommand, WardenOperation, WardenReport } from '../../src/warden/protocol.ts';
import { FakeProcesses, registration } from './fake-processes.ts';

let clock: VirtualClock;
let table: FakeProcesses;
let guardian: Guardian;
let reports: WardenReport[];
let released: { revision: number; at: number; alive: boolean }[];
let n: number;
let fenceRuns: { command: FenceCommand; at: number }[];
/** What a fence command does: how long it takes, and whether it ends well. */
let outcomes: { ms: number; ok: boolean }[];

beforeEach(() => {
  clock = new VirtualClock();
  table = new FakeProcesses(clock);
  reports = [];
  released = [];
  n = 0;
  fenceRuns = [];
  outcomes = [];
  guardian = new Guardian({
    clock,
    table,
    drainMs: 100,
    release: async ({ revision }) => {
      released.push({ revision, at: clock.monotonic(), alive: [10, 11, 12, 20].some((pid) => table.has(pid)) });
    },
    report: (report) => reports.push(report),
    run: async (command) => {
      fenceRuns.push({ command, at: clock.monotonic() });
      const { ms, ok } = outcomes.shift() ?? { ms: 10, ok: true };
      await clock.sleep(Math.min(ms, command.timeoutMs));
      return ok && ms <= command.timeoutMs;
    },
  });
});

/** Undefined when it agreed, else the reason. */
function ask(operation: WardenOperation): string | undefined {
  guardian.handle({ ...operation, n: ++n });
  const answer = reports.find((report) => (report.type === 'ack' || report.type === 'refused') && report.n === n);
  return answer?.type === 'refused' ? answer.reason : undefined;
}

function hold(inMs: number, revision = 7, lease = 'shop', token?: string): string | undefined {
  const deadline = clock.monotonic() + inMs;
  const named = token === undefined ? {} : { token };
  return ask({ op: 'hold', lease, held: { bucket: 'b', key: 'k', revision, deadline, ...named } });
}

const fences = (): WardenReport[] => reports.filter((report) => report.type === 'fenced');

describe('a deadline', () => {
  test('that passes kills at once, tells, and never releases', async () => {
    hold(1000);
    ask(registration(table.add(10), 'kill'));
    ask(registration(table.add(20), 'drain'));
    await clock.advance(999);
    expect(table.signals).toEqual([]);
    await clock.advance(1);
    expect(table.signals).toEqual(['SIGKILL 10']);
    await clock.advance(60_000);
    expect(table.has(10)).toBe(false);
    expect(table.has(20)).toBe(true);
    expect(fences()).toMatchObject([{ lease: 'shop', killed: ['kill'], gone: true, lateMs: 0 }]);
    expect(released).toEqual([]);
  });

  test('that is moved in time never fires; each lease has its own', async () => {
    hold(100);
    hold(250, 8, 'other');
    ask(registration(table.add(10), 'kill'));
    ask(registration(table.add(11), 'kill', 'other'));
    for (let i = 0; i < 10; i++) {
      await clock.advance(90);
      hold(100);
    }
    expect(table.has(10)).toBe(true);
    expect(table.has(11)).toBe(false);
  });

  test('that passed while the warden itself was frozen is settled before any newer message', async () => {
    hold(100);
    ask(registration(table.add(10), 'kill'));
    // Time has passed, and the message arrives before the timer runs.
    const later = clock.monotonic() + 500;
    clock.monotonic = () => later;
    hold(1000);
    expect(table.signals).toEqual(['SIGKILL 10']);
  });

  test('after it nothing may be registered to run until a newer hold', async () => {
    hold(100);
    await clock.advance(100);
    expect(ask(registration(table.add(10), 'kill'))).toBe('fenced');
    expect(ask(registration(table.add(20), 'drain'))).toBeUndefined();
    expect(hold(-1)).toBe('fenced');
    expect(ask(registration(table.add(11), 'kill'))).toBe('fenced');
    expect(hold(100)).toBeUndefined();
    expect(ask(registration(table.add(12), 'kill'))).toBeUndefined();
  });

  test('ends its term for good: a later renewal is refused until the lease is cleared, another term is not', async () => {
    hold(1000, 7, 'shop', 't1');
    // Frozen past the deadline; the renewal waits in the pipe.
    const later = clock.monotonic() + 1100;
    const { monotonic } = clock;
    clock.monotonic = () => later;
    expect(hold(1000, 8, 'shop', 't1')).toBe('fenced');
    clock.monotonic = monotonic;
    expect(hold(5000, 9, 'shop', 't1')).toBe('fenced');
    expect(ask(registration(table.add(10), 'kill'))).toBe('fenced');
    expect(hold(5000, 10, 'other', 't1')).toBeUndefined();
    expect(hold(5000, 11, 'shop', 't2')).toBeUndefined();
    ask({ op: 'clear', lease: 'shop' });
    expect(hold(5000, 12, 'shop', 't1')).toBeUndefined();
  });

  test('means nothing once the lease is cleared', async () => {
    hold(100);
    const id = table.add(10);
    ask(registration(id, 'kill'));
    ask({ op: 'unregister', lease: 'shop', ...id });
    ask({ op: 'clear', lease: 'shop' });
    await clock.advance(1000);
    expect(table.signals).toEqual([]);
    expect(fences()).toEqual([]);
  });
});

describe('a lease that is not held', () => {
  test('lets nothing run: a kill process is refused and ended, a drain process is welcome', async () => {
    expect(ask(registration(table.add(10), 'kill'))).toBe('not_held');
    expect(ask(registration(table.add(20), 'drain'))).toBeUndefined();
    expect(table.signals).toEqual(['SIGKILL 10']);
  });

  test('because it was cleared: what was forgotten is ended', async () => {
    hold(100);
    ask(registration(table.add(10), 'kill'));
    ask(registration(table.add(20), 'drain'));
    ask({ op: 'clear', lease: 'shop' });
    expect(table.signals).toEqual(['SIGKILL 10']);
  });
});

describe('the parent is gone', () => {
  test('kill, then drain, then release, in this order', async () => {
    hold(10_000);
    ask(registration(table.add(20, { heedsTerm: true }), 'drain'));
    ask(registration(table.add(10), 'kill'));
    table.add(11, { group: 10 });
    const settled = guardian.parentGone();
    await clock.advance(5000);
    await settled;
    const lastKill = table.signals.findLastIndex((line) => /^SIGKILL 1[01]$/.test(line));
    expect(lastKill).toBeGreaterThanOrEqual(1);
    expect(table.signals.indexOf('SIGTERM 20')).toBe(lastKill + 1);
    expect(released).toMatchObject([{ revision: 7, alive: false }]);
  });

  test('a drain that ignores SIGTERM is cut after drainMs', async () => {
    hold(10_000);
    ask(registration(table.add(20), 'drain'));
    const begun = clock.monotonic();
    const settled = guardian.parentGone();
    await clock.advance(5000);
    await settled;
    expect(released[0]?.alive).toBe(false);
    expect((released[0]?.at as number) - begun).toBeGreaterThanOrEqual(100);
    expect((released[0]?.at as number) - begun).toBeLessThan(250);
  });

  test('a process that cannot be killed keeps the lease', async () => {
    hold(10_000);
    ask(registration(table.add(10, { isStuck: true }), 'kill'));
    const settled = guardian.parentGone();
    await clock.advance(20_000);
    expect(released).toEqual([]);
    await clock.advance(40_000);
    await settled;
    expect(released).toEqual([]);
  });

  test('strays with the mark go too; others with none of it stay', async () => {
    hold(10_000);
    ask(registration(table.add(10, { mark: 'm1' }), 'kill'));
    table.add(12, { mark: 'm1' });
    table.add(30, { mark: 'm2' });
    const settled = guardian.parentGone();
    await clock.advance(5000);
    await settled;
    expect([table.has(10), table.has(12), table.has(30)]).toEqual([false, false, true]);
    expect(released).toMatchObject([{ alive: false }]);
  });

  test('without a lease there is nothing to release, but what is registered still ends', async () => {
    ask(registration(table.add(20), 'drain'));
    const settled = guardian.parentGone();
    await clock.advance(5000);
    await settled;
    expect(table.has(20)).toBe(false);
    expect(released).toEqual([]);
  });
});

describe('a pid that belongs to another process by now', () => {
  test('is refused at registration', () => {
    const id = table.add(10);
    expect(ask(registration({ ...id, startTicks: id.startTicks - 1 }, 'kill'))).toBe('gone');
    expect(ask(registration({ pid: 99, startTicks: 1 }, 'kill'))).toBe('gone');
  });

  test('gets no signal when its predecessor should be killed', async () => {
    hold(100);
    ask(registration(table.add(10), 'kill'));
    table.remove(10);
    table.add(10, { startTicks: 4711 });
    await clock.advance(1000);
    expect(fences()).toHaveLength(1);
    const settled = guardian.parentGone();
    await clock.advance(1000);
    await settled;
    expect(table.signals).toEqual([]);
    expect(table.has(10)).toBe(true);
    expect(released).toHaveLength(1);
  });

  test('nor when the predecessor led no group', async () => {
    hold(100);
    ask(registration(table.add(10, { group: 1 }), 'kill'));
    table.add(11, { group: 1 });
    await clock.advance(1000);
    expect(table.signals).toEqual(['SIGKILL 10']);
    expect(table.has(11)).toBe(true);
  });
});

describe('a fence command', () => {
  const commands = [{ command: ['stop', 'shop'], timeoutMs: 2000 }];

  test('ends well before the lease is released after the death of the parent', async () => {
    ask({ op: 'fences', lease: 'shop', commands });
    hold(10_000);
    outcomes = [{ ms: 300, ok: true }];
    const begun = clock.monotonic();
    void guardian.parentGone();
    await clock.advance(299);
    expect(released).toEqual([]);
    await clock.advance(1);
    expect(released).toMatchObject([{ revision: 7, at: begun + 300 }]);
  });

  test('that hangs keeps the lease for good', async () => {
    ask({ op: 'fences', lease: 'shop', commands });
    hold(10_000);
    outcomes = Array.from({ length: 20 }, () => ({ ms: 60_000, ok: true }));
    void guardian.parentGone();
    await clock.advance(60_000);
    expect(fenceRuns.length).toBeGreaterThan(1);
    expect(released).toEqual([]);
  });

  test('that fails is tried again while the lease lasts', async () => {
    ask({ op: 'fences', lease: 'shop', commands });
    hold(10_000);
    outcomes = [{ ms: 10, ok: false }];
    void guardian.parentGone();
    await clock.advance(1000);
    expect(fenceRuns).toHaveLength(2);
    expect(released).toHaveLength(1);
  });

  test('runs when a deadline passes, and is not tried again under a newer lease', async () => {
    ask({ op: 'fences', lease: 'shop', commands });
    hold(1000);
    outcomes = [{ ms: 100, ok: false }];
    await clock.advance(1050);
    expect(fenceRuns).toHaveLength(1);
    hold(60_000);
    await clock.advance(2000);
    expect(fenceRuns).toHaveLength(1);
    expect(fences()).toMatchObject([{ killed: ['stop shop'], gone: false }]);
    expect(released).toEqual([]);
  });

  test('does not run when the parent goes without a lease: it may end what others run', async () => {
    ask({ op: 'fences', lease: 'shop', commands });
    void guardian.parentGone();
    await clock.advance(1000);
    expect([fenceRuns, released]).toEqual([[], []]);
  });

  test('does not run when the parent goes after the lease was given up', async () => {
    ask({ op: 'fences', lease: 'shop', commands });
    hold(10_000);
    ask({ op: 'clear', lease: 'shop' });
    void guardian.parentGone();
    await clock.advance(1000);
    expect([fenceRuns, released]).toEqual([[], []]);
  });

  test('runs for a lease that the parent keeps as it goes, and the lease is not released', async () => {
    ask({ op: 'fences', lease: 'shop', commands });
    ask({ op: 'fences', lease: 'idle', commands });
    hold(10_000);
    ask({ op: 'keep', lease: 'shop' });
    ask({ op: 'clear', lease: 'idle' });
    void guardian.parentGone();
    await clock.advance(1000);
    expect([fenceRuns.length, released]).toEqual([1, []]);
  });

  test('that has run for the passed deadline is not run again when the parent goes', async () => {
    ask({ op: 'fences', lease: 'shop', commands });
    hold(1000);
    outcomes = [{ ms: 500, ok: true }];
    await clock.advance(1100);
    const settled = guardian.parentGone();
    await clock.advance(399);
    expect(released).toEqual([]);
    await clock.advance(1000);
    await settled;
    expect([fenceRuns.length, released.length]).toEqual([1, 1]);
  });

  test('is remembered over clear()', async () => {
    ask({ op: 'fences', lease: 'shop', commands });
    hold(1000);
    ask({ op: 'clear', lease: 'shop' });
    hold(1000);
    await clock.advance(1001);
    expect(fenceRuns).toHaveLength(1);
  });
});
