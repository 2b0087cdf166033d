/** What the log in memory does with the faults of its hook. */
import { settle, VirtualClock } from '@canopy/core/testing';
import { type LogReadEvent, MemoryLog, type MemoryLogCall, type MemoryLogFault } from '@canopy/replication';
import { expect, test } from 'vitest';
import { failure, line } from './event-log.contract.ts';

function world(fault?: (call: MemoryLogCall, index: number) => MemoryLogFault | undefined) {
  const clock = new VirtualClock();
  const log = new MemoryLog('log', { clock });
  let calls = 0;
  log.fault = (call) => fault?.(call, calls++);
  return { clock, log, node: log.connect('n1') };
}

test('delays never change the order of the appends of a node', async () => {
  const delays = [50, 10, 0, 30];
  const { clock, log, node } = world((_, index) => ({ delayMs: delays[index] ?? 0 }));
  const appends = ['a', 'b', 'c', 'd'].map((event) => node.append(event));
  await settle();
  expect(log.lastSequence).toBe(0);
  const other = log.connect('n2').append('other');
  await clock.advance(60);
  await Promise.all([...appends, other]);
  expect(log.events.map(({ event }) => event)).toEqual(['other', 'a', 'b', 'c', 'd']);
});

test('a lost request holds up none behind it; a lost answer was carried out; both are told as unknown', async () => {
  const outcomes = ['request-lost', 'answer-lost', 'fail', undefined] as const;
  const { clock, log, node } = world((_, index) => {
    const outcome = outcomes[index];
    return outcome === undefined ? undefined : { outcome };
  });
  const calls = outcomes.map((_, n) => failure(node.append(n, { messageId: `m${n}`, timeoutMs: 1000 })));
  await settle();
  expect(log.events.map(({ event }) => event)).toEqual([1, 3]);
  await clock.advance(1000);
  expect(await Promise.all(calls)).toEqual([
    'DEADLINE_EXCEEDED',
    'DEADLINE_EXCEEDED',
    'EVENT_LOG_UNAVAILABLE',
    undefined,
  ]);
  expect(await node.append(1, { messageId: 'm1' })).toEqual({ sequence: 1, duplicate: true });
  expect(await node.append(0, { messageId: 'm0' })).toEqual({ sequence: 3, duplicate: false });
});

test('a request that arrives after its deadline is carried out although its caller has given up', async () => {
  const { clock, log, node } = world((_, index) => (index === 0 ? { delayMs: 3000 } : undefined));
  const late = failure(node.append('late', { timeoutMs: 1000 }));
  await clock.advance(1000);
  expect(await late).toBe('DEADLINE_EXCEEDED');
  expect(log.lastSequence).toBe(0);
  await clock.advance(2000);
  expect(log.lastSequence).toBe(1);
});

test('what builds on an append that failed fails with it', async () => {
  const { log, node } = world((call, index) => (call.node === 'n1' && index === 0 ? { outcome: 'fail' } : undefined));
  const first = failure(node.append('a', { expectedLastSequence: 0 }));
  const other = log.connect('n2').append('other');
  const second = failure(node.append('b', { expectedLastSequence: 1 }));
  expect([await first, await second]).toEqual(['EVENT_LOG_UNAVAILABLE', 'EVENT_LOG_CONFLICT']);
  await other;
  // Begun by somebody who knows.
  expect((await node.append('b', { expectedLastSequence: 1 })).sequence).toBe(2);
});

test('an interrupted reader says so once, and goes on without a gap', async () => {
  let blocked = false;
  const { clock, log, node } = world(({ operation }) =>
    operation === 'deliver' && blocked ? { outcome: 'fail' } : undefined,
  );
  const seen: LogReadEvent[] = [];
  const end = new AbortController();
  const reading = (async () => {
    for await (const event of node.read({ signal: end.signal })) seen.push(event);
  })();
  await log.connect('n2').send([1, 2]);
  await settle();
  blocked = true;
  await log.connect('n2').send([3, 4]);
  await clock.advance(500);
  blocked = false;
  await clock.advance(500);
  await log.connect('n2').send([5]);
  await clock.advance(10);
  end.abort();
  await reading;
  const lines = seen.map(line).filter((told) => told !== 'caught-up 0' && told !== 'caught-up 2');
  expect(lines).toEqual(['1 1', '2 2', 'interrupted', '3 3', '4 4', 'caught-up 4', '5 5']);
});

test('an id is forgotten after two minutes', async () => {
  const { clock, node } = world();
  await node.append('a', { messageId: 'm' });
  await clock.advance(119_000);
  expect(await node.append('a', { messageId: 'm' })).toEqual({ sequence: 1, duplicate: true });
  await clock.advance(2000);
  expect(await node.append('a', { messageId: 'm' })).toEqual({ sequence: 2, duplicate: false });
});
