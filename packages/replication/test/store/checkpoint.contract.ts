/** What every `CheckpointStore` does: run on each implementation. `reopened` is what the next process of the same subscriber sees. */
import { describe, expect, test } from 'vitest';
import type { CheckpointStore } from '../../src/index.ts';

export interface CheckpointRig extends AsyncDisposable {
  readonly store: CheckpointStore;
  /** Left out where nothing outlives the process. */
  reopened?(): Promise<CheckpointStore>;
}

export function describeCheckpointContract(name: string, rig: () => Promise<CheckpointRig>): void {
  describe(`checkpoints: ${name}`, () => {
    test('each key has the offset that was set last', async () => {
      await using opened = await rig();
      const { store } = opened;
      expect([await store.get('orders'), (await store.getAll()).size]).toEqual([null, 0]);
      await store.set('orders', 0);
      expect(await store.get('orders')).toBe(0);
      await store.set('orders', 41);
      await store.set('users.eu/ü *', 2 ** 53 - 1);
      await store.set('orders', 7);
      const all = new Map([
        ['orders', 7],
        ['users.eu/ü *', 2 ** 53 - 1],
      ]);
      expect(new Map(await store.getAll())).toEqual(all);
      (await store.getAll()).clear();
      expect(await (opened.reopened === undefined ? store : await opened.reopened()).getAll()).toEqual(all);
    });

    test('what is deleted is gone', async () => {
      await using opened = await rig();
      const { store } = opened;
      await store.set('a', 1);
      await store.set('b', 2);
      await store.delete('a');
      await store.delete('never');
      expect([await store.get('a'), [...(await store.getAll())]]).toEqual([null, [['b', 2]]]);
      await store.set('a', 3);
      expect(await store.get('a')).toBe(3);
    });

    test('what is no offset is refused and changes nothing', async () => {
      await using opened = await rig();
      const { store } = opened;
      await store.set('a', 5);
      for (const offset of [-1, 1.5, Number.NaN, 2 ** 53, '7' as unknown as number])
        await expect(store.set('a', offset)).rejects.toMatchObject({ code: 'STATE_STORE_INPUT_INVALID' });
      expect(await store.get('a')).toBe(5);
    });
  });
}
