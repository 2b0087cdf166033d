/** Buckets of others, in which the server leaves a marker where an entry expires: an expiry is no deletion. */
import { systemEnv } from '@canopy/core';
import { connectNats, type KvWatchEvent } from '@canopy/nats';

import { testNatsServer } from '@canopy/testkit';
import { expect, test } from 'vitest';
import { bytes, Recorder } from '../../src/testing/system.ts';

const TTL_MS = 1000;

test('a marker of expiry is told as a key that vanished, and a deletion as one', async () => {
  await using nats = await testNatsServer();
  const session = await connectNats(nats.connection, { name: 'markers', env: systemEnv() });
  try {
    const call = async (name: string, body: object): Promise<Record<string, unknown>> => {
      const answer = await session.bus.request(`$JS.API.STREAM.${name}.KV_b`, bytes(JSON.stringify(body)), {
        timeoutMs: 5000,
      });
      return JSON.parse(new TextDecoder().decode(answer.data));
    };
    const made = await call('CREATE', {
      name: 'KV_b',
      subjects: ['$KV.b.>'],
      max_msgs_per_subject: 1,
      max_age: TTL_MS * 1e6,
      discard: 'new',
      deny_delete: false,
      allow_rollup_hdrs: true,
      allow_msg_ttl: true,
      subject_delete_marker_ttl: 60e9,
    });
    expect(made.error).toBeUndefined();
    const kv = await session.kv('b');
    const seen = new Recorder<KvWatchEvent>((signal) => kv.watch('>', { signal }));
    await seen.until((event) => event.type === 'synced');
    const gone = (key: string) => (event: KvWatchEvent) =>
      event.type === 'entry' && event.entry.key === key && event.entry.operation === 'delete';
    const first = await kv.create('lease', bytes('a'));
    const renewed = await kv.update('lease', bytes('b'), first);
    await seen.until(gone('lease'));
    expect(seen.events.filter(gone('lease'))).toMatchObject([{ entry: { revision: renewed } }]);
    expect(await kv.get('lease')).toBeUndefined();
    // The marker is there, and is written over by its revision.
    expect((await kv.info()).lastRevision).toBeGreaterThan(renewed);
    const again = await kv.create('lease', bytes('c'));
    expect(again).toBeGreaterThan(renewed + 1);
    await kv.delete('lease', again);
    await seen.until((event) => gone('lease')(event) && event.type === 'entry' && event.entry.revision > again);
    await seen.stop();
  } finally {
    await session.close();
  }
});
