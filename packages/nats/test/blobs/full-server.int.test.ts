/** A nats-server without storage left: what is refused then has a code of its own, not that of a bucket's limit. */
import { join } from 'node:path';
import { systemEnv } from '@canopy/core';
import { natsServerBinary, tinyFilesystem } from '@canopy/testkit';
import { expect, test } from 'vitest';
import { NatsServer } from '../../src/server/index.ts';
import { connectNats } from '../../src/session/connect.ts';

const MIB = 1024 * 1024;

test('writes are refused with NATS_STORAGE_FULL, and what is stored can be read and deleted', async ({ skip }) => {
  const tiny = await tinyFilesystem(12 * MIB);
  if (tiny.path === undefined) return skip(tiny.reason);
  await using _mounted = tiny;
  await using server = await NatsServer.launch({
    dataDir: join(tiny.path, 'data'),
    binary: await natsServerBinary(),
  });
  await using session = await connectNats({ servers: [server.url] }, { name: 'test', env: systemEnv() });
  const blobs = await session.ensureBlobs('full');
  let refused: unknown;
  for (let i = 0; i < 64 && refused === undefined; i++)
    await blobs
      .put(`o${i}`, new Uint8Array(MIB / 2).fill(i), { createOnly: true })
      .catch((error: unknown) => (refused = error));
  expect(refused).toMatchObject({ code: 'NATS_STORAGE_FULL', fields: { stream: 'OBJ_full' } });
  expect((await blobs.read('o0'))?.bytes.length).toBe(MIB / 2);
  await blobs.delete('o0');
  expect(await blobs.info('o0')).toBeUndefined();
});
