/** Going back to a point of an app's database, asked of the platform that runs it: with a real database and real NATS. */
import { DatabaseSync } from 'node:sqlite';
import { type Position, systemEnv } from '@canopy/core';
import { type App, Platform, type RestoreProgress, singleton } from '@canopy/platform';
import { sqlite } from '@canopy/sqlite';
import { eventually, temporaryDirectory, testNatsServer } from '@canopy/testkit';
import { expect, test } from 'vitest';

const items = (path: string): unknown[] => {
  using connection = new DatabaseSync(path, { readOnly: true });
  return connection
    .prepare('SELECT item FROM orders ORDER BY id')
    .all()
    .map(({ item }) => item);
};

test('an app goes back to a snapshot, a position and a moment, beside the live database, on either node', async () => {
  await using directory = await temporaryDirectory('restores');
  await using nats = await testNatsServer();
  const at = (name: string): string => `${directory.path}/${name}`;
  const node = (name: string): { platform: Platform; app: App } => {
    const given = { name: 'shop', node: name, connection: nats.connection, dataDir: at(name), warden: false };
    const platform = new Platform(given);
    const app = platform.app('orders', { mode: singleton(), database: sqlite(at(`${name}.db`)) });
    return { platform, app };
  };
  await using stack = new AsyncDisposableStack();
  const first = node('n1');
  stack.defer(() => first.platform.stop());
  await first.platform.start();
  const { app } = first;
  await eventually(() => app.role === 'active', { timeoutMs: 60_000 });
  app.db().exec('CREATE TABLE orders(id INTEGER PRIMARY KEY, item TEXT NOT NULL) STRICT');
  const add = async (item: string): Promise<Position> => {
    await app.db().transaction((db) => db.prepare('INSERT INTO orders(item) VALUES (?)').run(item), { timeout: '30s' });
    return app.wal.sync();
  };
  await add('one');
  const second = node('n2');
  stack.defer(() => second.platform.stop());
  await second.platform.start();

  await app.snapshots.create('before');
  const two = await add('two');
  const { clock } = systemEnv();
  // A moment is strictly after what was written before it.
  const moment = clock.wall() + 1;
  await clock.sleep(50);
  await add('three');

  const seen: RestoreProgress[] = [];
  const onProgress = (progress: RestoreProgress): void => void seen.push(progress);
  const restored = await app.snapshots.restore('before', at('a.db'), { onProgress });
  expect(restored).toMatchObject({ dest: at('a.db'), sizeBytes: expect.any(Number) });
  expect(items(at('a.db'))).toEqual(['one']);
  expect(seen.at(-1)).toMatchObject({ doneBytes: restored.bytes, totalBytes: restored.bytes });

  expect(await app.snapshots.restore(two, at('b.db'))).toMatchObject({ position: two });
  expect(items(at('b.db'))).toEqual(['one', 'two']);
  await app.snapshots.restore({ timestamp: moment }, at('c.db'));
  expect(items(at('c.db'))).toEqual(['one', 'two']);

  await expect(app.snapshots.restore('before', at('b.db'))).rejects.toMatchObject({
    code: 'SQLITE_DESTINATION_EXISTS',
  });
  await expect(app.snapshots.restore('after', at('d.db'))).rejects.toMatchObject({ code: 'SQLITE_SNAPSHOT_MISSING' });
  await expect(app.snapshots.restore({ ...two, txid: 999 }, at('d.db'))).rejects.toMatchObject({
    code: 'SQLITE_TARGET_UNREACHABLE',
  });
  // A standby restores without the primary.
  await eventually(() => second.app.status().database?.role === 'standby', { timeoutMs: 60_000 });
  await second.app.snapshots.restore('before', at('b.db'), { overwrite: true });
  expect(items(at('b.db'))).toEqual(['one']);

  expect(items(at('n1.db'))).toEqual(['one', 'two', 'three']);
  expect(app.role).toBe('active');
  const { database } = app.status();
  expect(database?.lastSnapshotAt).toBeUndefined();
  expect(database?.firstCopyAt).toBeGreaterThan(0);
  expect(second.app.status().database).toMatchObject({ firstCopyAt: expect.any(Number) });
  expect(second.app.status().database).not.toHaveProperty('bootstrap');
}, 120_000);
