/** What a program passes wrongly is told by the field, before anything is done; nothing becomes the working directory. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from '@canopy/testkit';
import { expect, onTestFinished, test } from 'vitest';
import { describeLog, Primary, Replica, restore, verify } from '../../src/index.ts';

const store = '/nowhere/log';
const invalid = (field: string) =>
  expect.objectContaining({
    code: 'OPTIONS_INVALID',
    fields: expect.objectContaining({ violations: [expect.objectContaining({ field })] }),
  });

test.each([
  [{ store }, 'db'],
  [{ db: '', store }, 'db'],
  [{ db: 5, store }, 'db'],
  [{ db: null, store }, 'db'],
  [{ db: 'a\0b', store }, 'db'],
  [{ db: new URL('file:///a.db'), store }, 'db'],
  [{ db: 'a.db', store, node: '' }, 'node'],
  [{ db: 'a.db', store, node: 5 }, 'node'],
  [{ db: 'a.db', store, env: {} }, 'env'],
  [{ db: 'a.db', store, env: 5 }, 'env'],
])('%j: %s', (options, field) => {
  for (const Kind of [Primary, Replica]) expect(() => new Kind(options as never), Kind.name).toThrow(invalid(field));
});

test('no options at all, create', () => {
  for (const options of [undefined, null, 5, {}])
    for (const Kind of [Primary, Replica])
      expect(() => new Kind(options as never), `${Kind.name} ${options}`).toThrow(
        expect.objectContaining({ code: 'OPTIONS_INVALID' }),
      );
  expect(() => new Primary({ db: 'a.db', store, create: 'yes' } as never)).toThrow(invalid('create'));
});

test.each([
  { directory: 5 },
  { directory: 'a\0b' },
  { servers: ['nats://h'], bucket: 5 },
  { servers: [5], bucket: 'b' },
])('store %j', (given) => {
  expect(() => new Primary({ db: 'a.db', store: given as never })).toThrow(
    expect.objectContaining({ code: 'SQLITE_STORE_INVALID' }),
  );
});

test.each([
  [{}, 'dest'],
  [{ dest: '' }, 'dest'],
  [{ dest: 5 }, 'dest'],
  [{ target: 5 }, 'target'],
  [{ target: {} }, 'target.txid'],
  [{ target: { txid: 1, timestamp: 1 } }, 'target.txid'],
  [{ target: { txid: 'x' } }, 'target.txid'],
  [{ target: { txid: 0 } }, 'target.txid'],
  [{ target: { txid: 1.5 } }, 'target.txid'],
  [{ target: { timestamp: Number.NaN } }, 'target.timestamp'],
  [{ target: { timestamp: 'x' } }, 'target.timestamp'],
  [{ check: 'x' }, 'check'],
  [{ overwrite: 'yes' }, 'overwrite'],
  [{ onProgress: 5 }, 'onProgress'],
  [{ signal: 5 }, 'signal'],
])('restore %j: %s', async (given, field) => {
  const root = await temporaryDirectory('options');
  onTestFinished(() => root.remove());
  const dest = field === 'dest' ? {} : { dest: join(root.path, 'x.db') };
  await expect(restore({ store, ...dest, ...given } as never)).rejects.toEqual(invalid(field));
  expect(readdirSync(root.path)).toEqual([]);
});

test('the others', async () => {
  await expect(restore(undefined as never)).rejects.toEqual(invalid('options'));
  await expect(verify(undefined as never)).rejects.toEqual(invalid('options'));
  await expect(verify({ store, scratch: 5 } as never)).rejects.toEqual(invalid('scratch'));
  await expect(describeLog(undefined as never)).rejects.toEqual(invalid('options'));
  await expect(describeLog({ store, signal: 5 } as never)).rejects.toEqual(invalid('signal'));
  await using primary = new Primary({ db: 'a.db', store });
  await expect(primary.sync(null as never)).rejects.toEqual(invalid('options'));
  await expect(primary.sync({ signal: 5 } as never)).rejects.toEqual(invalid('signal'));
  await expect(primary.start({ signal: 5 } as never)).rejects.toEqual(invalid('signal'));
  await using replica = new Replica({ db: 'a.db', store });
  for (const position of [undefined, 5, {}, { txid: 1 }, { epoch: 'a', txid: 'b' }, { epoch: 1, txid: -1 }])
    await expect(replica.waitFor(position as never), JSON.stringify(position)).rejects.toEqual(invalid('position'));
});
