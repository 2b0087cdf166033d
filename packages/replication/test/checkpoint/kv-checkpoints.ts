/** Checkpoints in KV, on whatever NATS. */
import type { NatsSession } from '@canopy/nats';
import { kvCheckpoints } from '@canopy/replication';
import { expect, test } from 'vitest';
import { failure } from '../log/event-log.contract.ts';
import { describeCheckpointContract } from '../store/checkpoint.contract.ts';

export function describeKvCheckpoints(name: string, open: () => Promise<NatsSession>): void {
  let namespaces = 0;
  describeCheckpointContract(name, async () => {
    const namespace = `contract-${++namespaces}`;
    const opened = async () => kvCheckpoints(await open(), { namespace });
    return { store: await opened(), reopened: opened, [Symbol.asyncDispose]: async () => {} };
  });

  test('each key of each subscriber has the offset that was set last, for every process', async () => {
    const store = await kvCheckpoints(await open(), { namespace: 'n' });
    const other = await kvCheckpoints(await open(), { namespace: 'n', subscriber: 'ä b.*' });
    expect([await store.get('orders'), (await store.getAll()).size]).toEqual([null, 0]);
    const keys = ['orders', 'users.eu/ü *', '=', '_tick', '', 'x'.repeat(300)];
    for (const [at, key] of keys.entries()) {
      await store.set(key, at + 100);
      await store.set(key, at);
      await other.set(key, 2 ** 53 - 1 - at);
    }
    const again = await kvCheckpoints(await open(), { namespace: 'n' });
    expect(await again.getAll()).toEqual(new Map(keys.map((key, at) => [key, at])));
    expect(await other.get('orders')).toBe(2 ** 53 - 1);
    await again.delete('orders');
    await again.delete('orders');
    await again.delete('never');
    expect([await store.get('orders'), (await store.getAll()).size]).toEqual([null, keys.length - 1]);
    await store.set('orders', 7);
    expect(await again.get('orders')).toBe(7);
    expect((await other.getAll()).size).toBe(keys.length);
  });

  test('a name that is none is refused', async () => {
    expect(await failure(kvCheckpoints(await open(), { namespace: 'not a name' }))).toBe('OPTIONS_INVALID');
  });
}
