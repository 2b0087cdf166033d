import { join } from 'node:path';
import { temporaryDirectory } from '@canopy/testkit';
import { expect, test } from 'vitest';
import { MemoryCheckpointStore, MemoryStore, SqliteStore, sqliteCheckpoints } from '../../src/index.ts';
import { describeCheckpointContract } from './checkpoint.contract.ts';

describeCheckpointContract('memory', async () => ({
  store: new MemoryCheckpointStore(),
  [Symbol.asyncDispose]: async () => {},
}));

describeCheckpointContract('SQLite', async () => {
  const directory = await temporaryDirectory('checkpoints');
  const path = join(directory.path, 'a.db');
  let atomic = SqliteStore.open({ path });
  return {
    store: sqliteCheckpoints(atomic),
    reopened: async () => {
      atomic.close();
      atomic = SqliteStore.open({ path });
      return sqliteCheckpoints(atomic);
    },
    [Symbol.asyncDispose]: async () => {
      atomic.close();
      await directory.remove();
    },
  };
});

test('subscribers of one store do not see each other; any number of keys is listed', async () => {
  const atomic = new MemoryStore();
  const one = sqliteCheckpoints(atomic, { name: 'one' });
  for (let i = 0; i < 2001; i++) await one.set(`k${i}`, i);
  expect((await one.getAll()).size).toBe(2001);
  expect(await sqliteCheckpoints(atomic, { name: 'two' }).get('k1')).toBeNull();
});
