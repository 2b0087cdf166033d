import { systemEnv } from '@canopy/core';
import { connectNats, type NatsSession } from '@canopy/nats';
import { kvHeartbeats } from '@canopy/replication';
import { eventually, testNatsServer } from '@canopy/testkit';
import { expect, onTestFinished, test } from 'vitest';
import { describeHeartbeatsContract, type HeartbeatSystem } from './heartbeats.contract.ts';

const real = async (): Promise<HeartbeatSystem> => {
  const nats = await testNatsServer();
  const sessions: NatsSession[] = [];
  return {
    open: async (namespace, timeoutMs) => {
      const session = await connectNats(nats.connection, { name: 'beats', env: systemEnv() });
      sessions.push(session);
      return kvHeartbeats(session, { namespace, timeoutMs });
    },
    close: async () => {
      for (const session of sessions) await session.close();
      await nats[Symbol.asyncDispose]();
    },
  };
};

describeHeartbeatsContract('nats-server', real);

test('beats are heard again after the server was killed and came back', async () => {
  const nats = await testNatsServer({ onCleanup: onTestFinished });
  const session = await connectNats(nats.connection, { name: 'beats', env: systemEnv() });
  onTestFinished(() => session.close());
  const heartbeats = await kvHeartbeats(session, { namespace: 'n' });
  await heartbeats.sendHeartbeat('a');
  await eventually(() => heartbeats.getLastHeartbeat('a') !== null);
  await nats.server.kill();
  await heartbeats.sendHeartbeat('a');
  const silent = heartbeats.getLastHeartbeat('a') as number;
  await nats.server.restart();
  await eventually(async () => {
    await heartbeats.sendHeartbeat('a');
    return (heartbeats.getLastHeartbeat('a') as number) > silent;
  });
  await heartbeats.close();
  expect(heartbeats.isAlive('a', 60_000)).toBe(true);
});
