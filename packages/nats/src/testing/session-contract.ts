/** What every NatsSession must do, whatever is behind it. */
import { describe, expect, test } from 'vitest';
import type { SessionEvent } from '../session/port.ts';
import { bytes, type ContractSystem, codeOf, Recorder } from './system.ts';

export function describeSessionContract(name: string, makeSystem: () => Promise<ContractSystem>): void {
  describe(`NatsSession contract: ${name}`, () => {
    test('a session tells its state, ends its watches when closed, and refuses calls afterwards', async () => {
      const system = await makeSystem();
      try {
        const session = await system.open();
        expect(session.status()).toMatchObject({ connected: true, reconnects: 0, clusterSize: 1 });
        const kv = await session.ensureKv('b');
        const blobs = await session.ensureBlobs('b');
        const states = new Recorder<SessionEvent>((signal) => session.watch({ signal }));
        const watches = [
          new Recorder((signal) => kv.watch('>', { signal })),
          new Recorder((signal) => blobs.watch('', { signal })),
          new Recorder((signal) => session.bus.subscribe('x', { signal })),
        ];
        await states.until((event) => event.type === 'connected');
        await session.close();
        await session.close();
        await Promise.all([states.done, ...watches.map((watch) => watch.done)]);
        expect(states.events.at(-1)).toMatchObject({ type: 'closed', error: undefined });
        expect(session.status().connected).toBe(false);
        expect(await codeOf(kv.get('a'))).toBe('NATS_CLOSED');
        expect(await codeOf(blobs.put('a', bytes('x')))).toBe('NATS_CLOSED');
        expect(await codeOf(session.bus.request('x', bytes('x')))).toBe('NATS_CLOSED');
        expect(await codeOf(session.kv('b'))).toBe('NATS_CLOSED');
      } finally {
        await system.close();
      }
    });

    test('a call ends with its signal', async () => {
      const system = await makeSystem();
      try {
        const session = await system.open();
        const kv = await session.ensureKv('b');
        const signal = AbortSignal.abort(new Error('not any more'));
        await expect(kv.get('a', { signal })).rejects.toThrow('not any more');
        await expect(kv.put('a', bytes('x'), { signal })).rejects.toThrow('not any more');
        expect(await kv.get('a')).toBeUndefined();
        await session.close();
      } finally {
        await system.close();
      }
    });
  });
}
