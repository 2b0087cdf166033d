/** Every way in which others take a key away reads as its absence, is seen by a watch, and leaves the key free. */
import { systemEnv } from '@canopy/core';
import { connectNats } from '@canopy/nats';
import { eventually, testNatsServer } from '@canopy/testkit';
import { connect, headers } from '@nats-io/transport-node';
import { expect, onTestFinished, test } from 'vitest';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test.each([
  ['a deletion', { 'KV-Operation': 'DEL' }, 1],
  ['a purge', { 'KV-Operation': 'PURGE', 'Nats-Rollup': 'sub' }, 1],
  // Nobody deleted it: it vanished, as it would without markers, and is told with the revision that was last seen.
  ["the server's marker", { 'Nats-Marker-Reason': 'MaxAge' }, 0],
])('%s, without a condition', async (_, fields, later) => {
  const nats = await testNatsServer({ onCleanup: onTestFinished });
  const nc = await connect({ servers: nats.url });
  onTestFinished(() => nc.close());
  const session = await connectNats(nats.connection, { name: 'wire', env: systemEnv() });
  onTestFinished(() => session.close());
  const kv = await session.ensureKv('b');
  const revision = await kv.create('g', bytes('1'));
  const seen: string[] = [];
  const ended = new AbortController();
  onTestFinished(() => ended.abort());
  void (async () => {
    for await (const event of kv.watch('g', { signal: ended.signal }))
      if (event.type === 'entry') seen.push(`${event.entry.operation} ${event.entry.revision}`);
  })().catch(() => {});
  await eventually(() => seen.length === 1, { what: 'the watch' });

  const marked = headers();
  for (const [name, value] of Object.entries(fields)) marked.set(name, value);
  await nc.request('$KV.b.g', new Uint8Array(0), { headers: marked, timeout: 5000 });

  await eventually(() => seen.some((line) => line.endsWith(` ${revision + later}`) && !line.startsWith('put')), {
    what: 'the marker',
  });
  expect(await kv.get('g')).toBeUndefined();
  await expect(kv.update('g', bytes('2'), revision)).rejects.toMatchObject({ code: 'KV_CONFLICT' });
  expect(await kv.create('g', bytes('3'))).toBe(revision + 2);
});
