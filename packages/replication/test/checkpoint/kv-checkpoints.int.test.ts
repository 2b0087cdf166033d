import { systemEnv } from '@canopy/core';
import { connectNats, type NatsSession } from '@canopy/nats';
import { type TestNatsServer, testNatsServer } from '@canopy/testkit';
import { afterAll, beforeAll } from 'vitest';
import { describeKvCheckpoints } from './kv-checkpoints.ts';

let nats: TestNatsServer | undefined;
const sessions: NatsSession[] = [];
beforeAll(async () => {
  nats = await testNatsServer();
});
afterAll(async () => {
  for (const session of sessions) await session.close();
  await nats?.[Symbol.asyncDispose]();
});

describeKvCheckpoints('KV', async () => {
  const { connection } = nats as TestNatsServer;
  const session = await connectNats(connection, { name: 'checkpoints', env: systemEnv() });
  sessions.push(session);
  return session;
});
