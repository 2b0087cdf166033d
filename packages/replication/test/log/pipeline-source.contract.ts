/** The event log as a source of subscribers, on whatever NATS. */
import { systemClock } from '@canopy/core';
import type { NatsSession } from '@canopy/nats';
import { EventSubscriber, jetStreamPipelineSource, type SourceEvent } from '@canopy/replication';
import { eventually } from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';

export interface SourceSystem {
  open(): Promise<NatsSession>;
  close(): Promise<void>;
}

export function describeSourceContract(name: string, makeSystem: () => Promise<SourceSystem>): void {
  describe(`PipelineSource on an event log: ${name}`, () => {
    let system: SourceSystem;
    let namespaces = 0;
    beforeAll(async () => {
      system = await makeSystem();
    });
    afterAll(() => system?.close());
    const fresh = async () => jetStreamPipelineSource(await system.open(), { namespace: `source-${++namespaces}` });

    test('events come back as they were appended, in batches from any offset', async () => {
      const source = await fresh();
      expect(await source.connect('orders')).toEqual({ topic: 'orders', offset: 1 });
      expect(await source.getLatestOffset('orders')).toBe(-1);
      expect(await source.consume('orders', 0, 10)).toEqual({ events: [], nextOffset: 1, hasMore: false });
      for (let n = 0; n < 5; n++) {
        await source.append('orders', { verb: 'created', payload: { n }, idempotencyKey: `k${n}`, isDelta: true });
        await source.append('users', { verb: 'seen', payload: n });
      }
      expect(await source.append('orders', { verb: 'created', payload: 'again', idempotencyKey: 'k4' })).toBe(9);
      const first = await source.consume('orders', 1, 3);
      expect(first.events.map(({ offset }) => offset)).toEqual([1, 3, 5]);
      expect(first).toMatchObject({ nextOffset: 6, hasMore: true });
      expect(first.events[1]).toMatchObject({
        topic: 'orders',
        verb: 'created',
        payload: { n: 1 },
        idempotencyKey: 'k1',
        _meta: { isDelta: true },
      });
      const rest = await source.consume('orders', first.nextOffset, 3);
      expect(rest.events.map(({ offset }) => offset)).toEqual([7, 9]);
      expect(rest.hasMore).toBe(false);
      expect((await source.consume('orders', 4, 1)).events[0]?.offset).toBe(5);
      expect(await source.getLatestOffset('orders')).toBe(9);
      expect(await source.getLatestOffset('users')).toBe(10);
    });

    test('other events of the log are events too, and what was trimmed is passed over', async () => {
      const source = await fresh();
      await source.log.append({ type: 'replication.write', key: 'a' }, { topic: 't' });
      await source.log.append([1], { topic: 't' });
      await source.log.append({ type: 'replication.write', key: 'b' }, { topic: 't' });
      const { events } = await source.consume('t', 1, 10);
      expect(events.map(({ verb, payload }) => [verb, payload])).toEqual([
        ['replication.write', { type: 'replication.write', key: 'a' }],
        ['event', [1]],
        ['replication.write', { type: 'replication.write', key: 'b' }],
      ]);
      await source.log.trim(2);
      expect((await source.consume('t', 1, 10)).events.map(({ offset }) => offset)).toEqual([3]);
      expect((await source.connect('t')).offset).toBe(3);
    });

    test('pushes are what comes from now on', async () => {
      const source = await fresh();
      await source.append('t', { verb: 'old', payload: 0 });
      const pushed: SourceEvent[] = [];
      source.subscribe('t', (event) => {
        pushed.push(event);
        if (event.payload === 'bad') throw new Error('planned');
      });
      await eventually(async () => {
        await source.append('t', { verb: 'new', payload: 'bad' });
        return pushed.length > 2;
      });
      expect(pushed.some(({ verb }) => verb === 'old')).toBe(false);
      source.unsubscribe('t');
      const count = pushed.length;
      await source.append('t', { verb: 'new', payload: 1 });
      await systemClock.sleep(50);
      expect(pushed.length).toBe(count);
      await source.disconnect();
    });

    test('a subscriber reads it to the end, goes on where it was, and sees each event once', async () => {
      const source = await fresh();
      const checkpoints = new Map<string, number>();
      const checkpointStore = {
        get: async (key: string) => checkpoints.get(key) ?? null,
        set: async (key: string, offset: number) => void checkpoints.set(key, offset),
        delete: async (key: string) => void checkpoints.delete(key),
        getAll: async () => new Map(checkpoints),
      };
      const seen: unknown[] = [];
      const subscriber = () => {
        const made = new EventSubscriber(source, {
          namespace: 'n',
          checkpointStore,
          batchSize: 7,
          onEvent: async (event) => void seen.push(event.payload),
        });
        onTestFinished(() => made.close());
        return made;
      };
      for (let n = 0; n < 20; n++) await source.append('t', { verb: 'v', payload: n });
      const first = subscriber();
      await first.subscribe('t');
      await first.poll();
      await eventually(() => seen.length >= 20);
      await first.close();
      for (let n = 20; n < 30; n++) await source.append('t', { verb: 'v', payload: n });
      const second = subscriber();
      await second.subscribe('t');
      await second.poll();
      await eventually(() => seen.length >= 30);
      expect(seen).toEqual(Array.from({ length: 30 }, (_, n) => n));
    });
  });
}
