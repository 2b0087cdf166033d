import { epoch, type Position, systemEnv } from '@canopy/core';
import { VirtualClock } from '@canopy/core/testing';
import { MemoryNats } from '@canopy/nats/memory';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { AppliedWait } from '../../src/applied/applied-wait.ts';
import { AppliedReporter } from '../../src/applied/reporter.ts';

const log = { bucket: 'p_a_wal', createdAt: 1000 };
const at = (txid: number, of = 3): Position => ({ epoch: epoch(of), txid });

let clock: VirtualClock;
let nats: MemoryNats;
let stop: AbortController;
beforeEach(() => {
  clock = new VirtualClock();
  nats = new MemoryNats({ clock });
  stop = new AbortController();
});
afterEach(() => stop.abort());

const env = () => ({ ...systemEnv(), clock });

function standby(node: string, position: Position): { position: Position; tell(): void; cut(): void } {
  const session = nats.session();
  const self = { position, tell: () => reporter.tell(), cut: () => session.cut() };
  const reporter = new AppliedReporter({
    bus: session.bus,
    log,
    node,
    copy: `/${node}.db`,
    env: env(),
    position: () => self.position,
  });
  void reporter.run(stop.signal);
  return self;
}

const primary = (): AppliedWait =>
  new AppliedWait({ bus: nats.session().bus, log, spec: { node: 'a', path: '/a.db' }, env: env() });
const order = (count: number, position: Position, signal?: AbortSignal) => ({
  count,
  stored: Promise.resolve(position),
  ended: () => undefined,
  signal,
});

test('standbys that have it answer the question; the others when they have applied it', async () => {
  standby('b', at(10));
  const c = standby('c', at(9));
  const wait = primary();
  const one = wait.wait(order(1, at(10)));
  const two = wait.wait(order(2, at(10)));
  await clock.advance(100);
  expect(await one).toEqual(at(10));
  c.position = at(10);
  c.tell();
  await clock.advance(100);
  expect(await two).toEqual(at(10));
});

test('what standbys say before the position is in the log counts', async () => {
  const b = standby('b', at(9));
  const stored = Promise.withResolvers<Position>();
  const waiting = primary().wait({ ...order(1, at(10)), stored: stored.promise });
  await clock.advance(50);
  b.position = at(10);
  b.tell();
  await clock.advance(50);
  stored.resolve(at(10));
  await clock.advance(1);
  expect(await waiting).toEqual(at(10));
});

test('a message that is lost is asked for again', async () => {
  const b = standby('b', at(9));
  const waiting = primary().wait(order(1, at(10)));
  await clock.advance(50);
  b.position = at(10);
  await clock.advance(1000);
  expect(await waiting).toEqual(at(10));
});

test('when the signal aborts the error says how many had it, and which', async () => {
  standby('b', at(10));
  standby('c', at(7));
  standby('d', at(99, 2));
  const patience = new AbortController();
  const waiting = primary().wait(order(3, at(10), patience.signal));
  const failure = expect(waiting).rejects.toMatchObject({
    code: 'SQLITE_NOT_APPLIED',
    fields: { applied: 1, wanted: 3, nodes: 'b' },
    message: expect.stringContaining('1 of 3 standbys'),
  });
  await clock.advance(3000);
  patience.abort();
  await clock.advance(1);
  await failure;
});

test('a standby that said it before and is gone now does not count', async () => {
  const b = standby('b', at(10));
  const wait = primary();
  await Promise.all([wait.wait(order(1, at(10))), clock.advance(50)]);
  b.cut();
  const patience = new AbortController();
  const failure = expect(wait.wait(order(1, at(10), patience.signal))).rejects.toMatchObject({
    fields: { applied: 0 },
  });
  await clock.advance(2000);
  patience.abort();
  await clock.advance(1);
  await failure;
});

test('a primary that has ended fails those who wait with its reason', async () => {
  let ended: Promise<unknown> | undefined;
  const waiting = primary().wait({ ...order(1, at(10)), ended: () => ended });
  const failure = expect(waiting).rejects.toThrow('fenced');
  await clock.advance(700);
  ended = Promise.reject(new Error('fenced'));
  ended.catch(() => {});
  await clock.advance(700);
  await failure;
});

test('what fails to be stored fails the call', async () => {
  const stored = Promise.reject(new Error('refused'));
  await expect(primary().wait({ ...order(1, at(10)), stored })).rejects.toThrow('refused');
});
