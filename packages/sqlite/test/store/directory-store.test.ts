import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { systemEnv } from '@canopy/core';
import type { NatsSession } from '@canopy/nats';
import { describeBlobsContract } from '@canopy/nats/testing';
import { type TemporaryDirectory, temporaryDirectory } from '@canopy/testkit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DirectoryStore } from '../../src/store/directory-store.ts';

const env = systemEnv();

describeBlobsContract('a directory', async () => {
  const root = await temporaryDirectory('store');
  const open = async (): Promise<NatsSession> => {
    const stores: DirectoryStore[] = [];
    const opened = (bucket: string, make?: { maxBytes?: number }): DirectoryStore => {
      const store = DirectoryStore.open({ path: join(root.path, bucket), env, make });
      stores.push(store);
      return store;
    };
    return {
      ensureBlobs: async (bucket: string, make = {}) => opened(bucket, make),
      blobs: async (bucket: string) => opened(bucket),
      close: async () => {
        for (const store of stores) store.close();
      },
    } as unknown as NatsSession;
  };
  return { open, close: () => root.remove() };
});

let root: TemporaryDirectory;
let store: DirectoryStore;
beforeEach(async () => {
  root = await temporaryDirectory('store');
  store = DirectoryStore.open({ path: root.path, env, make: {} });
});
afterEach(async () => {
  store.close();
  await root.remove();
});

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const name = 'ltx/0/0000000000000001-0000000000000001.ltx';

test('objects are files under their own names, as Litestream lays them out', async () => {
  await store.put(name, bytes('one'), { createOnly: true });
  expect(readFileSync(join(root.path, name), 'utf8')).toBe('one');
  await store.put(name, bytes('two'));
  expect(readFileSync(join(root.path, name), 'utf8')).toBe('two');
  await store.delete(name);
  expect(existsSync(join(root.path, name))).toBe(false);
});

test('bytes that were changed on the disk are not given out as the object', async () => {
  await store.put(name, bytes('one'));
  writeFileSync(join(root.path, name), 'oNe');
  await expect(store.read(name)).rejects.toMatchObject({ code: 'BLOB_CORRUPT' });
  writeFileSync(join(root.path, name), 'on');
  await expect(store.read(name)).rejects.toMatchObject({ code: 'BLOB_CORRUPT' });
});

test('a directory that another program filled is taken as it is; one that is gone is missing', async () => {
  await store.put(name, bytes('one'));
  store.close();
  rmSync(join(root.path, '.canopy-store'), { recursive: true });
  expect(() => DirectoryStore.open({ path: root.path, env })).toThrow(
    expect.objectContaining({ code: 'BLOB_BUCKET_MISSING' }),
  );
  store = DirectoryStore.open({ path: root.path, env, make: {} });
  expect(await store.list()).toMatchObject([{ name, size: 3, headers: {} }]);
  rmSync(join(root.path, '.canopy-store'), { recursive: true });
  await expect(store.info(name)).rejects.toMatchObject({ code: 'BLOB_BUCKET_MISSING' });
});

test('a name that would leave the directory is refused', async () => {
  for (const bad of ['', '../x', 'a/../b', '/etc/x', 'a//b', '.canopy-store/index.db', 'a/.b', 'a\0b', 'x'.repeat(513)])
    await expect(store.put(bad, bytes('x')), bad).rejects.toMatchObject({ code: 'NAME_REFUSED' });
});

test('a replacement that was interrupted before its bytes had moved is the object all the same', async () => {
  await store.put(name, bytes('one'));
  const away = join(root.path, '.canopy-store', 'incoming', 'x');
  writeFileSync(away, 'one');
  store.close();
  const { DatabaseSync } = await import('node:sqlite');
  const index = new DatabaseSync(join(root.path, '.canopy-store', 'index.db'));
  index.exec("UPDATE objects SET file = '.canopy-store/incoming/x'");
  index.close();
  rmSync(join(root.path, name));
  store = DirectoryStore.open({ path: root.path, env });
  expect(new TextDecoder().decode((await store.read(name))?.bytes)).toBe('one');
});
