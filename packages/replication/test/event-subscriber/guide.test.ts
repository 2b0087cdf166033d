/** The guide's configuration of a subscriber, as a program would have it, with every field that it names. */
import type { CheckpointMode } from '@canopy/replication/event-subscriber';
import {
  EventSubscriber,
  type EventSubscriberConfig,
  MemoryPipelineSource,
} from '@canopy/replication/event-subscriber';
import { expect, it } from 'vitest';
import { PlainCheckpoints } from './plain-source.ts';

it.each<CheckpointMode>(['auto', 'manual', 'interval'])(
  'the whole configuration, checkpoints %s',
  async (checkpointMode) => {
    const source = new MemoryPipelineSource();
    const checkpointStore = new PlainCheckpoints();
    const received: unknown[] = [];
    const batches: number[] = [];
    const failures: string[] = [];
    const config: EventSubscriberConfig = {
      namespace: 'tenant-abc',
      checkpointStore,
      onEvent: (event) => {
        received.push(event.payload);
        if (event.verb === 'broken') throw new Error('handler');
      },
      onBatch: (events) => {
        batches.push(events.length);
      },
      onError: (error, event) => {
        failures.push(`${error.message} at ${event?.offset}`);
      },
      batchSize: 100,
      pollInterval: 1000,
      checkpointMode,
      checkpointInterval: 5000,
      enableIdempotency: true,
      idempotencyWindowMs: 60_000,
      maxRetries: 3,
      retryDelay: 100,
    };
    const subscriber = new EventSubscriber(source, config);
    expect(subscriber.config).toMatchObject(config);
    source.append('customers', { verb: 'created', payload: { name: 'Alice' }, idempotencyKey: 'c-1' });
    source.append('customers', { verb: 'created', payload: { name: 'Alice' }, idempotencyKey: 'c-1' });
    await subscriber.subscribe('customers');
    await subscriber.poll();
    source.append('customers', { verb: 'broken', payload: { name: 'Bob' } });
    expect(received).toEqual([{ name: 'Alice' }, { name: 'Bob' }]);
    expect(batches).toEqual([1]);
    await subscriber.close();
    expect(failures).toEqual(['handler at 2']);
    const stored = await checkpointStore.get('customers');
    expect(stored).toBe(checkpointMode === 'manual' ? null : 2);
  },
);
