/** Appends of which one in the middle does not arrive, as happens while a cluster chooses another leader. */
import { systemEnv } from '@canopy/core';
import { type NatsSession, type Stream, wrapConnection } from '@canopy/nats';
import { testNatsServer } from '@canopy/testkit';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { expect, onTestFinished, test } from 'vitest';
import { codeOf } from '../../src/testing/system.ts';

/** A stream over a connection that drops the publishes to it whose numbers, from 1, are given. */
async function lossy(dropped: readonly number[]): Promise<Stream> {
  const nats = await testNatsServer({ onCleanup: onTestFinished });
  const nc = await connect({ servers: nats.url });
  onTestFinished(() => nc.close());
  let count = 0;
  const connection = new Proxy(nc, {
    get(target, property) {
      const member: unknown = Reflect.get(target, property, target);
      if (property !== 'publish') return typeof member === 'function' ? member.bind(target) : member;
      return (...args: Parameters<NatsConnection['publish']>) => {
        if (args[0].startsWith('s.') && dropped.includes(++count)) return;
        target.publish(...args);
      };
    },
  });
  const session: NatsSession = await wrapConnection(connection, { env: systemEnv() });
  onTestFinished(() => session.close());
  return session.ensureStream('s', { subjects: ['s.>'] });
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

async function stored(stream: Stream): Promise<string[]> {
  const found: string[] = [];
  for await (const event of stream.read()) {
    if (event.type === 'caught-up') return found;
    if (event.type === 'message') found.push(new TextDecoder().decode(event.message.data));
  }
  return found;
}

test('an append that was lost before a later one was stored is never put behind that one', async () => {
  const stream = await lossy([3, 6]);
  const appends = Array.from({ length: 6 }, (_, n) =>
    codeOf(stream.append('s.a', bytes(`${n}`), { timeoutMs: 20_000 })),
  );
  // The last one has nothing behind it, and is repeated.
  expect(await Promise.all(appends)).toEqual([
    undefined,
    undefined,
    'DEADLINE_EXCEEDED',
    undefined,
    undefined,
    undefined,
  ]);
  expect(await stored(stream)).toEqual(['0', '1', '3', '4', '5']);
});

test('a chain is mended as a whole: what builds on the lost one goes again behind it', async () => {
  const stream = await lossy([3]);
  const chain = Array.from({ length: 10 }, (_, n) =>
    codeOf(stream.append('s.a', bytes(`${n}`), { expectedLastSequence: n, timeoutMs: 20_000 })),
  );
  expect(new Set(await Promise.all(chain))).toEqual(new Set([undefined]));
  expect(await stored(stream)).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
});
