/** Checkpoints in KV, on whatever NATS. */
import type { NatsSession } from '@canopy/nats';
import { kvCheckpoints } from '@canopy/replication';
import { expect, test } from 'vitest';
import { failure } from '../log/event-log.contract.ts';

export function describeKvCheckpoints(open: () => Promise<NatsSession>): void {
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

  test('what is no offset is refused and changes nothing', async () => {
    const store = await kvCheckpoints(await open(), { namespace: 'm' });
    await store.set('a', 5);
    for (const offset of [-1, 1.5, Number.NaN, 2 ** 53, '7' as unknown as number])
      expect(await failure(store.set('a', offset))).toBe('OPTIONS_INVALID');
    expect(await store.get('a')).toBe(5);
    expect(await failure(kvCheckpoints(await open(), { namespace: 'not a name' }))).toBe('OPTIONS_INVALID');
  });
}
