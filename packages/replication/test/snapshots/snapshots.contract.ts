/** What every SnapshotStore must do, whatever is behind it. */
import type { SnapshotInfo, SnapshotStore } from '@canopy/replication';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { failure } from '../log/event-log.contract.ts';

export interface SnapshotSystem {
  readonly store: SnapshotStore;
  /** Changes the bytes that are stored. */
  damage(info: SnapshotInfo, change: (bytes: Uint8Array) => Uint8Array): Promise<void>;
  close(): Promise<void>;
}

async function* generated(count: number, fail = false): AsyncGenerator<string> {
  for (let n = 0; n < count; n++) yield JSON.stringify({ key: `k${n}`, value: 'ä€😀'.repeat(n % 50) });
  if (fail) throw new Error('planned');
}

export function describeSnapshotsContract(name: string, makeSystem: () => Promise<SnapshotSystem>): void {
  describe(`SnapshotStore contract: ${name}`, () => {
    let system: SnapshotSystem;
    let namespaces = 0;
    beforeAll(async () => {
      system = await makeSystem();
    });
    afterAll(() => system?.close());
    const about = (sequence: number, logCreatedAt = 1000) => ({
      namespace: `ns-${namespaces}`,
      sequence,
      epoch: 7,
      logCreatedAt,
    });
    const fresh = (): SnapshotStore => {
      namespaces += 1;
      return system.store;
    };

    test('lines come back as they were, in batches', async () => {
      const store = fresh();
      expect(await store.latest(`ns-${namespaces}`)).toBeUndefined();
      const count = 30_000;
      const info = await store.put(about(12), generated(count));
      expect(info).toMatchObject({ ...about(12), entries: count });
      expect(info.bytes).toBeGreaterThan(count * 20);
      expect(info.sha256).toMatch(/^[0-9a-f]{64}$/);
      expect(await store.latest(`ns-${namespaces}`)).toEqual(info);
      const wanted = generated(count);
      let batches = 0;
      let lines = 0;
      for await (const batch of store.read(info)) {
        batches += 1;
        expect(batch.length).toBeLessThanOrEqual(2000);
        for (const line of batch) if (line === (await wanted.next()).value) lines += 1;
      }
      expect(lines).toBe(count);
      expect(batches).toBeGreaterThan(10);
    });

    test('a snapshot of nothing, and lines that are empty', async () => {
      const store = fresh();
      const nothing = await store.put(about(1), []);
      expect(nothing).toMatchObject({ entries: 0, bytes: 0 });
      expect(await Array.fromAsync(store.read(nothing))).toEqual([]);
      const empty = await store.put(about(2), ['', '', 'x', '']);
      expect((await Array.fromAsync(store.read(empty))).flat()).toEqual(['', '', 'x', '']);
    });

    test('the latest is the one with the greatest sequence, whenever it was put; another log begins anew', async () => {
      const store = fresh();
      const namespace = `ns-${namespaces}`;
      for (const sequence of [5, 1000, 20]) await store.put(about(sequence), [`${sequence}`]);
      expect((await store.latest(namespace))?.sequence).toBe(1000);
      await store.put({ ...about(9999), namespace: `${namespace}-other` }, ['x']);
      expect((await store.latest(namespace))?.sequence).toBe(1000);
      await store.put(about(3, 2000), ['of the log that was made again']);
      expect(await store.latest(namespace)).toMatchObject({ sequence: 3, logCreatedAt: 2000 });
    });

    test('two nodes may put a snapshot of one position', async () => {
      const store = fresh();
      const [one, two] = await Promise.all([store.put(about(5), ['one']), store.put(about(5), ['two'])]);
      expect(await Array.fromAsync(store.read(one as SnapshotInfo))).toEqual([['one']]);
      expect(await Array.fromAsync(store.read(two as SnapshotInfo))).toEqual([['two']]);
    });

    test('a put that fails, or is given up, leaves nothing to be seen', async () => {
      const store = fresh();
      await expect(store.put(about(1), generated(5000, true))).rejects.toThrow('planned');
      await expect(store.put(about(2), ['one\ntwo'])).rejects.toThrow();
      const end = new AbortController();
      const lines = (async function* () {
        yield* generated(5000);
        end.abort(new Error('enough'));
        yield* generated(500_000);
      })();
      await expect(store.put(about(3), lines, { signal: end.signal })).rejects.toThrow('enough');
      expect(await store.latest(`ns-${namespaces}`)).toBeUndefined();
    });

    test('a damaged one is never read to its end', async () => {
      const store = fresh();
      const damages: readonly ((bytes: Uint8Array) => Uint8Array)[] = [
        (bytes) => bytes.with(bytes.length - 3, (bytes.at(-3) as number) ^ 1),
        (bytes) => bytes.subarray(0, bytes.length - 2000),
        (bytes) => Buffer.concat([bytes, Buffer.from('more\n')]),
      ];
      for (const [n, damage] of damages.entries()) {
        const info = await store.put(about(n), generated(3500));
        await system.damage(info, damage);
        let lines = 0;
        const code = await failure(
          (async () => {
            for await (const batch of store.read(info)) lines += batch.length;
          })(),
        );
        expect([code, lines < 3500]).toEqual(['SNAPSHOT_DAMAGED', true]);
      }
    });

    test('pruning keeps the newest, one at least', async () => {
      const store = fresh();
      const namespace = `ns-${namespaces}`;
      const infos: SnapshotInfo[] = [];
      for (const sequence of [1, 2, 3, 4]) infos.push(await store.put(about(sequence), [`${sequence}`]));
      expect(await store.prune(namespace, 2)).toBe(2);
      expect(await Array.fromAsync(store.read(infos[2] as SnapshotInfo))).toEqual([['3']]);
      expect(await failure(Array.fromAsync(store.read(infos[1] as SnapshotInfo)))).toBe('SNAPSHOT_DAMAGED');
      expect(await store.prune(namespace, 0)).toBe(1);
      expect((await store.latest(namespace))?.sequence).toBe(4);
      expect(await store.prune(namespace, 1)).toBe(0);
    });
  });
}
