/** What is old by the server's clock, which nobody can turn: so this takes its minute. */
import { systemEnv } from '@canopy/core';
import { connectNats } from '@canopy/nats';
import { eventually, testNatsServer } from '@canopy/testkit';
import { connect } from '@nats-io/transport-node';
import { expect, onTestFinished, test } from 'vitest';
import { subjectsOf } from '../consumers.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test('what uploads and deletions that were cut off left is swept once it is old, and nothing else', async () => {
  const nats = await testNatsServer({ onCleanup: onTestFinished });
  const nc = await connect({ servers: nats.url });
  onTestFinished(() => nc.close());
  const session = await connectNats(nats.connection, { name: 'sweep', env: systemEnv() });
  onTestFinished(() => session.close());
  const blobs = await session.ensureBlobs('b');
  await blobs.put('a', new Uint8Array(1_500_000));
  await nc.request('$O.b.C.CUTOFF', bytes('half of something'));
  await nc.request('$O.b.C.CUTOFF', bytes('another half'));
  const tombstone = { name: 'c', bucket: 'b', nuid: 'BURIED', size: 0, chunks: 0, mtime: '', deleted: true };
  await nc.request('$O.b.C.BURIED', bytes('of c'));
  await nc.request(`$O.b.M.${Buffer.from('c').toString('base64')}`, JSON.stringify(tombstone));
  const before = (await subjectsOf(nats.url, 'OBJ_b')).length;
  let orphans = 0;
  const swept = async (): Promise<boolean> => {
    orphans += (await blobs.sweep({ olderThanMs: 60_000 })).orphans;
    return orphans === 2;
  };
  await eventually(swept, { what: 'a sweep of both', timeoutMs: 80_000 });
  // Two uploads and the tombstone.
  expect((await subjectsOf(nats.url, 'OBJ_b')).length).toBe(before - 3);
  expect((await blobs.read('a'))?.bytes.length).toBe(1_500_000);
}, 120_000);
