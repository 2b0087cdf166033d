import { VirtualClock } from '@canopy/core/testing';
import { encodeLease, marginOf } from '@canopy/election';
import { MemoryNats } from '@canopy/nats/memory';
import { describe, expect, it, onTestFinished } from 'vitest';
import { LeaseRecorder } from '../../src/demo/lease-recorder.ts';

const TTL = 2000;

async function rig() {
  const clock = new VirtualClock();
  const hub = new MemoryNats({ clock });
  const [holders, observer] = [hub.session({ name: 'holders' }), hub.session({ name: 'observer' })];
  const kv = await holders.ensureKv('leases');
  const recorder = new LeaseRecorder(clock, TTL);
  recorder.start(await observer.kv('leases'), 'app');
  onTestFinished(async () => {
    const stopped = recorder.stop();
    await clock.advance(100);
    await stopped;
  });
  await clock.advance(10);
  const hold = (id: string, epoch: number) =>
    encodeLease({ id, token: `${id}-${epoch}`, priority: 0, epoch, ttlMs: TTL });
  return { clock, kv, observer, recorder, hold };
}

describe('the lease recorder', () => {
  it('ends a term that was never released where its holder had to give it up', async () => {
    const { clock, kv, recorder, hold } = await rig();
    const from = clock.monotonic();
    const revision = await kv.create('app', hold('a', 1));
    await clock.advance(500);
    await kv.update('app', hold('a', 1), revision);
    await clock.advance(TTL - marginOf(TTL) - 1);
    expect(recorder.intervals()).toEqual([{ node: 'a', epoch: 1, from, to: undefined }]);
    await clock.advance(2);
    const to = from + 500 + TTL - marginOf(TTL);
    expect(recorder.intervals()).toEqual([{ node: 'a', epoch: 1, from, to, fencedBy: from + 500 + TTL }]);
  });

  it('puts what it hears late where it happened', async () => {
    const { clock, kv, observer, recorder, hold } = await rig();
    const from = clock.monotonic();
    const revision = await kv.create('app', hold('a', 1));
    await clock.advance(100);
    observer.cut();
    await clock.advance(100);
    await kv.update('app', hold('b', 2), revision);
    await clock.advance(1000);
    observer.heal();
    await clock.advance(500);
    expect(recorder.intervals()).toEqual([
      { node: 'a', epoch: 1, from, to: undefined },
      { node: 'b', epoch: 2, from: from + 200, to: undefined },
    ]);
  });
});
