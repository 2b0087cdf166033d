import { type Clock, systemEnv } from '@canopy/core';
import { settle, VirtualClock } from '@canopy/core/testing';
import { MemoryNats } from '@canopy/nats/memory';
import { kvHeartbeats, MemoryHeartbeats } from '@canopy/replication';
import { expect, onTestFinished, test } from 'vitest';
import { describeHeartbeatsContract, type HeartbeatSystem } from './heartbeats.contract.ts';

const memory = async (): Promise<HeartbeatSystem> => {
  const all = new Map<string, MemoryHeartbeats>();
  let nodes = 0;
  return {
    open: async (namespace, timeoutMs) => {
      const shared = all.get(namespace) ?? new MemoryHeartbeats({ timeoutMs });
      all.set(namespace, shared);
      return shared.connect(`node-${++nodes}`);
    },
    close: async () => {},
  };
};

const onTwin = async (): Promise<HeartbeatSystem> => {
  const hub = new MemoryNats();
  return {
    open: (namespace, timeoutMs) => kvHeartbeats(hub.session(), { namespace, timeoutMs }),
    close: async () => {},
  };
};

describeHeartbeatsContract('memory', memory);
describeHeartbeatsContract('KV in memory', onTwin);

test('steps of the wall clock make nobody die or live', async () => {
  const clock = new VirtualClock();
  const heartbeats = new MemoryHeartbeats({ clock, timeoutMs: 5000 });
  const [a, b] = [heartbeats.connect('a'), heartbeats.connect('b')];
  const told: boolean[] = [];
  b.onLeaderStatus((_, alive) => told.push(alive));
  await a.sendHeartbeat('a');
  clock.stepWall(3_600_000);
  await clock.advance(4000);
  expect(b.isAlive('a', 5000)).toBe(true);
  clock.stepWall(-7_200_000);
  await clock.advance(1500);
  expect(b.isAlive('a', 5000)).toBe(false);
  expect(told).toEqual([true, false]);
});

test('a process that stood still hears what queued up before it declares anybody dead', async () => {
  const timers: (() => void)[] = [];
  let now = 0;
  const clock: Clock = {
    wall: () => now,
    monotonic: () => now,
    sleep: async () => {},
    timer: (_, run) => {
      timers.push(run);
      return { cancel: () => timers.splice(timers.indexOf(run), 1) };
    },
  };
  const heartbeats = new MemoryHeartbeats({ clock, timeoutMs: 5000 });
  const [a, b] = [heartbeats.connect('a'), heartbeats.connect('b')];
  const told: boolean[] = [];
  b.onLeaderStatus((_, alive) => told.push(alive));
  await a.sendHeartbeat('a');
  // Frozen for a minute: the check is due long since, and so is the beat that waits behind it.
  now = 60_000;
  for (const run of timers.splice(0)) run();
  await a.sendHeartbeat('a');
  now = 60_500;
  for (const run of timers.splice(0)) run();
  expect(told).toEqual([true]);
  now = 65_501;
  for (const run of timers.splice(0)) run();
  expect(told).toEqual([true, false]);
});

test('a cut keeps beats from one node only', async () => {
  const clock = new VirtualClock();
  const heartbeats = new MemoryHeartbeats({ clock, timeoutMs: 3000 });
  heartbeats.fault = (_, to) => (to === 'c' ? { lost: true } : { delayMs: 10 });
  const [a, b, c] = ['a', 'b', 'c'].map((node) => heartbeats.connect(node));
  await a?.sendHeartbeat('a');
  await clock.advance(20);
  expect([b?.isAlive('a', 3000), c?.isAlive('a', 3000)]).toEqual([true, false]);
});

test('writes in flight are one per node, whoever asks', async () => {
  const clock = new VirtualClock();
  let puts = 0;
  const hub = new MemoryNats({
    clock,
    fault: ({ operation }) => {
      if (operation !== 'put') return undefined;
      puts += 1;
      return { delayMs: 100 };
    },
  });
  const heartbeats = await kvHeartbeats(hub.session(), { namespace: 'n' }, systemEnv({ clock }));
  onTestFinished(() => heartbeats.close());
  for (let n = 0; n < 50; n++) void heartbeats.sendHeartbeat('a');
  await settle();
  expect(puts).toBe(1);
  await clock.advance(1000);
  expect(puts).toBe(2);
  // Refused: nobody is bothered with it.
  hub.fault = () => ({ outcome: 'fail' });
  await heartbeats.sendHeartbeat('a');
});
