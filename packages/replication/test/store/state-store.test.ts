/** The stores of replicas over both atomic stores: position and state together, replacement at once, snapshots of one moment. */
import { join } from 'node:path';
import { temporaryDirectory } from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import {
  GCounter,
  isDurableStateStore,
  MemoryStateStore,
  MemoryStore,
  type SpaceStore,
  SqliteStore,
  type StateChange,
  type StateSnapshot,
  stateStore,
} from '../../src/index.ts';
import { codeOf } from '../code-of.ts';

let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
let files = 0;
beforeAll(async () => {
  directory = await temporaryDirectory('states');
});
afterAll(() => directory.remove());

async function* batches(...all: readonly (readonly StateChange[])[]): AsyncGenerator<readonly StateChange[]> {
  yield* all;
}
const entriesOf = (snapshot: StateSnapshot): [string, unknown][] =>
  [...snapshot.entries].flat().map(({ key, value }) => [key, value]);

const OPEN: Readonly<Record<string, () => SpaceStore>> = {
  memory: () => new MemoryStore(),
  SQLite: () => SqliteStore.open({ path: join(directory.path, `${files++}.db`), durability: 'process' }),
};
for (const [name, open] of Object.entries(OPEN))
  describe(`state store: ${name}`, () => {
    const opened = (): SpaceStore => {
      const atomic = open();
      onTestFinished(() => atomic.close());
      return atomic;
    };

    test('keeps values with versions, and the position in the same commit', () => {
      const atomic = opened();
      const store = stateStore(atomic);
      expect(isDurableStateStore(store)).toBe(true);
      expect(store.position()).toEqual({ sequence: 0, epoch: 0 });
      expect([store.set('a', { n: 1 }), store.set('a', { n: 2 }), store.set('b', null)]).toEqual([1, 2, 1]);
      expect([store.get('a'), store.get('b'), store.get('c'), store.has('b'), store.has('c')]).toEqual([
        { n: 2 },
        null,
        undefined,
        true,
        false,
      ]);
      expect([store.delete('a'), store.delete('a'), store.getVersion('a')]).toEqual([true, false, 0]);
      store.apply(
        [
          { key: 'z', value: 1 },
          { key: 'b', value: undefined },
          { key: 'y', value: 2 },
        ],
        { sequence: 7, epoch: 3 },
      );
      expect([...store.getAll()]).toEqual([
        ['y', 2],
        ['z', 1],
      ]);
      expect(store.position()).toEqual({ sequence: 7, epoch: 3 });
      store.apply([], { sequence: 7, epoch: 3, logCreatedAt: 1_700_000_000_000 });
      expect(stateStore(atomic).position()).toEqual({ sequence: 7, epoch: 3, logCreatedAt: 1_700_000_000_000 });
      const apply = (): void =>
        store.apply(
          [
            { key: 'z', value: 9 },
            { key: 'x', value: Number.NaN },
          ],
          { sequence: 8, epoch: 3 },
        );
      expect(codeOf(apply)).toBe('REPLICATED_VALUE_INVALID');
      expect(codeOf(() => store.apply([{ key: 'z', value: 9 }], { sequence: -1, epoch: 3 }))).toBe(
        'STATE_STORE_INPUT_INVALID',
      );
      expect(codeOf(() => store.set('z', undefined))).toBe('STATE_STORE_INPUT_INVALID');
      expect([stateStore(atomic).get('z'), stateStore(atomic).position().sequence]).toEqual([1, 7]);
      expect(stateStore(atomic, { name: 'other' }).has('z')).toBe(false);
      store.clear();
      expect([store.getAll().size, store.position()]).toEqual([0, { sequence: 0, epoch: 0 }]);
    });

    test('keeps values that merge, for the node that it is told of', () => {
      const atomic = opened();
      const counter = new GCounter('a');
      counter.increment(2);
      stateStore(atomic).set('cart', { lines: [{ clicks: counter }] });
      type Cart = { lines: [{ clicks: GCounter }] };
      const { clicks } = (stateStore(atomic, { nodeId: 'b' }).get('cart') as Cart).lines[0];
      clicks.increment();
      expect(clicks.toJSON()).toEqual({ a: 2, b: 1 });
      const foreign = (stateStore(atomic).get('cart') as Cart).lines[0].clicks;
      expect(codeOf(() => foreign.increment())).toBe('CRDT_NODE_UNKNOWN');
    });

    test('is replaced as a whole or not at all', async () => {
      const atomic = opened();
      const store = stateStore(atomic);
      store.apply([{ key: 'old', value: 1 }], { sequence: 5, epoch: 1 });
      async function* failing(): AsyncGenerator<readonly StateChange[]> {
        yield [{ key: 'half', value: 1 }];
        expect([...store.getAll()], 'nothing shows before the end').toEqual([['old', 1]]);
        throw new Error('cut off');
      }
      await expect(store.replace(failing(), { sequence: 9, epoch: 2 })).rejects.toThrow('cut off');
      expect([[...store.getAll()], store.position().sequence]).toEqual([[['old', 1]], 5]);
      expect(atomic.count('state-incoming')).toBe(0);
      const many = Array.from({ length: 4500 }, (_, i) => ({ key: `k${i}`, value: { i } }));
      const replacing = store.replace(batches(many, [{ key: 'k0', value: 'later' }]), { sequence: 9, epoch: 2 });
      await expect(store.replace(batches(), { sequence: 1, epoch: 1 })).rejects.toMatchObject({
        code: 'STATE_STORE_FAILED',
      });
      await replacing;
      expect([store.getAll().size, store.get('k0'), store.has('half'), store.has('old')]).toEqual([
        4500,
        'later',
        false,
        false,
      ]);
      expect(store.position()).toEqual({ sequence: 9, epoch: 2 });
      await store.replace(batches(), { sequence: 10, epoch: 2 });
      expect([store.getAll().size, store.position().sequence]).toEqual([0, 10]);
    });

    test('what a crash left of a replacement is removed at the next opening', async () => {
      const atomic = opened();
      const store = stateStore(atomic);
      store.set('kept', 1);
      let crash: () => void = () => {};
      const crashed = new Promise<void>((resolve) => {
        crash = resolve;
      });
      async function* endless(): AsyncGenerator<readonly StateChange[]> {
        yield [{ key: 'half', value: 1 }];
        crash();
        await new Promise(() => {});
      }
      void store.replace(endless(), { sequence: 1, epoch: 1 });
      await crashed;
      expect(atomic.count('state-incoming')).toBe(1);
      expect([...stateStore(atomic).getAll()]).toEqual([['kept', 1]]);
      expect(atomic.count('state-incoming')).toBe(0);
    });

    test('a snapshot is of one moment, in batches, and lets go when its reading ends', () => {
      const atomic = opened();
      let open = 0;
      const counted: SpaceStore = Object.assign(Object.create(atomic) as SpaceStore, {
        get: atomic.get.bind(atomic),
        scan: atomic.scan.bind(atomic),
        version: atomic.version.bind(atomic),
        commit: atomic.commit.bind(atomic),
        snapshot: () => {
          const view = atomic.snapshot();
          open++;
          let closed = false;
          const close = (): void => {
            if (!closed) open--;
            closed = true;
            view.close();
          };
          return { get: view.get.bind(view), scan: view.scan.bind(view), count: view.count.bind(view), close };
        },
      });
      const store = stateStore(counted);
      const changes = Array.from({ length: 5000 }, (_, i) => ({ key: String(i).padStart(5, '0'), value: i }));
      store.apply(changes, { sequence: 4, epoch: 1 });
      const snapshot = store.snapshot();
      let batchesSeen = 0;
      let seen = 0;
      for (const batch of snapshot.entries) {
        batchesSeen++;
        for (const { key, value } of batch) {
          expect([key, value]).toEqual([String(seen).padStart(5, '0'), seen]);
          seen++;
        }
        store.apply(
          [
            { key: '04999', value: undefined },
            { key: '99999', value: 1 },
          ],
          { sequence: 5, epoch: 1 },
        );
      }
      expect([seen, batchesSeen > 1, snapshot.position.sequence, open]).toEqual([5000, true, 4, 0]);
      for (const _ of store.snapshot().entries) break;
      expect(open).toBe(0);
      const unread = store.snapshot();
      expect(open).toBe(1);
      unread.close?.();
      unread.close?.();
      expect(open).toBe(0);
      expect(entriesOf(store.snapshot()).at(-1)).toEqual(['99999', 1]);
    });
  });

test('a state in memory is plain', () => {
  const store = new MemoryStateStore();
  expect([store.set('a', 1), store.set('a', 2), store.get('a'), store.getVersion('a'), store.getVersion('b')]).toEqual([
    1, 2, 2, 2, 0,
  ]);
  expect([store.has('a'), [...store.getAll()], store.delete('a'), store.delete('a')]).toEqual([
    true,
    [['a', 2]],
    true,
    false,
  ]);
  expect(isDurableStateStore(store)).toBe(false);
});

test('what a replacement left that could not even clean up is not taken for a part of the next one', async () => {
  let isBroken = false;
  const store = stateStore(new MemoryStore({ fault: () => (isBroken ? 'failed' : undefined) }));
  async function* breaking(): AsyncGenerator<readonly StateChange[]> {
    yield [{ key: 'half', value: 1 }];
    isBroken = true;
    yield [{ key: 'other', value: 1 }];
  }
  await expect(store.replace(breaking(), { sequence: 1, epoch: 1 })).rejects.toMatchObject({
    code: 'STATE_STORE_FAILED',
  });
  isBroken = false;
  await store.replace(batches([{ key: 'whole', value: 2 }]), { sequence: 2, epoch: 1 });
  expect([...store.getAll()]).toEqual([['whole', 2]]);
});
