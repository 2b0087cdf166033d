import { type AddressInfo, createServer } from 'node:net';
import { systemEnv } from '@canopy/core';
import { expect, onTestFinished, test } from 'vitest';
import { connectNats } from '../../src/index.ts';

/** Takes connections and never says a word. */
async function silent(): Promise<{ readonly servers: string[]; readonly called: Promise<void> }> {
  const called = Promise.withResolvers<void>();
  const server = createServer((socket) => {
    socket.on('error', () => {});
    onTestFinished(() => void socket.destroy());
    called.resolve();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  onTestFinished(() => void server.close());
  return { servers: [`nats://127.0.0.1:${(server.address() as AddressInfo).port}`], called: called.promise };
}

test('a server that says nothing is given up at the bound, or at the signal', { timeout: 30_000 }, async () => {
  const { servers, called } = await silent();
  const env = systemEnv();
  const late = connectNats({ servers }, { name: 't', env, timeoutMs: 1000 });
  await expect(late).rejects.toMatchObject({ code: 'NATS_UNREACHABLE' });
  const controller = new AbortController();
  const reason = new Error('told to');
  const aborted = connectNats({ servers }, { name: 't', env, timeoutMs: 60_000, signal: controller.signal });
  await called;
  controller.abort(reason);
  await expect(aborted).rejects.toBe(reason);
});
