import type { ConnectionSpec } from '@canopy/core';
import type { NatsSession } from '@canopy/nats';
import { expect, test } from 'vitest';
import { SharedSessions } from '../../src/process/shared-sessions.ts';
import { memoryLog } from '../log/logs.ts';

const here: ConnectionSpec = { servers: ['nats://here'] };

test('equal connections are one; a session that is closed ends only what it watches, the last one the connection', async () => {
  const { nats } = await memoryLog();
  const dialled: NatsSession[] = [];
  const sessions = new SharedSessions(async () => {
    dialled.push(nats.session());
    return dialled.at(-1) as NatsSession;
  });
  const [a, b] = await Promise.all([sessions.lease(here), sessions.lease({ ...here })]);
  await sessions.lease({ servers: ['nats://there'] });
  expect(dialled).toHaveLength(2);
  const [ofA, ofB] = [await a.ensureBlobs('log'), await b.blobs('log')];
  const seen: string[] = [];
  const watching = (async () => {
    for await (const event of ofB.watch('')) if (event.type === 'put') seen.push(event.blob.name);
  })();
  const ended = (async () => {
    for await (const _ of ofA.watch(''));
  })().catch(() => {});
  const heard = a.bus.subscribe('x')[Symbol.asyncIterator]().next();
  await a.close();
  await a.close();
  await ended;
  expect((await heard).done).toBe(true);
  await ofB.put('one', new Uint8Array(1));
  await expect.poll(() => seen).toEqual(['one']);
  expect(b.status().connected).toBe(true);
  await b.close();
  await watching.catch(() => {});
  await expect((dialled[0] as NatsSession).blobs('log')).rejects.toMatchObject({ code: 'NATS_CLOSED' });
  await sessions.lease(here);
  expect(dialled).toHaveLength(3);
});

test('a connection that could not be made is tried again by the next who asks', async () => {
  const { nats } = await memoryLog();
  let tries = 0;
  const sessions = new SharedSessions(async () => {
    if (tries++ === 0) throw new Error('nobody there');
    return nats.session();
  });
  await expect(Promise.all([sessions.lease(here), sessions.lease(here)])).rejects.toThrow('nobody there');
  expect((await sessions.lease(here)).status().connected).toBe(true);
  expect(tries).toBe(2);
});
