import { systemEnv } from '@canopy/core';
import { connectNats, type NatsSession } from '@canopy/nats';
import { testNatsServer } from '@canopy/testkit';
import { describeSourceContract } from './pipeline-source.contract.ts';

describeSourceContract('nats-server', async () => {
  const nats = await testNatsServer();
  const sessions: NatsSession[] = [];
  return {
    open: async () => {
      const session = await connectNats(nats.connection, { name: 'source', env: systemEnv() });
      sessions.push(session);
      return session;
    },
    close: async () => {
      for (const session of sessions) await session.close();
      await nats[Symbol.asyncDispose]();
    },
  };
});
