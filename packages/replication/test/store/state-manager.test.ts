import { join } from 'node:path';
import { temporaryDirectory } from '@canopy/testkit';
import { expect, onTestFinished, test } from 'vitest';
import {
  type Entity,
  memoryStateManager,
  ORSet,
  SqliteStore,
  type StateManager,
  stateManager,
} from '../../src/index.ts';

const entity = (id: string, data: Record<string, unknown>): Entity => ({
  $id: id,
  $type: 'Cart',
  $version: 1,
  data,
  updatedAt: 5,
});

async function check(manager: StateManager): Promise<void> {
  expect(await manager.get('a')).toBeNull();
  const given = entity('a', { items: [1] });
  await manager.set('a', given);
  (given.data.items as number[]).push(2);
  expect(await manager.get('a')).toEqual(entity('a', { items: [1] }));
  const set = new ORSet<string>('n');
  set.add('milk');
  await manager.set('b', entity('b', { cart: set }));
  const cart = (await manager.get('b'))?.data.cart as ORSet<string>;
  expect(cart.elements()).toEqual(['milk']);
  cart.add('bread');
  expect((await manager.list()).map(({ $id }) => $id)).toEqual(['a', 'b']);
  expect([await manager.delete('a'), await manager.delete('a'), await manager.get('a')]).toEqual([true, false, null]);
  for (let i = 0; i < 2500; i++) await manager.set(`many-${String(i).padStart(4, '0')}`, entity('x', { i }));
  const all = await manager.list();
  expect([all.length, all[1]?.data, all[2500]?.data]).toEqual([2501, { i: 0 }, { i: 2499 }]);
}

test('entities in memory, with their values that merge', () => check(memoryStateManager({ nodeId: 'n' })));

test('entities in a SQLite file, with their values that merge', async () => {
  const directory = await temporaryDirectory('entities');
  onTestFinished(() => directory.remove());
  const atomic = SqliteStore.open({ path: join(directory.path, 'a.db'), durability: 'process' });
  onTestFinished(() => atomic.close());
  await check(stateManager(atomic, { nodeId: 'n' }));
});
