import { systemEnv } from '@canopy/core';
import { connectNats, type NatsSession } from '@canopy/nats';
import { type EventLog, openEventLog } from '@canopy/replication';
import { testNatsServer } from '@canopy/testkit';
import { describeEventLogContract, type LogSystem } from './event-log.contract.ts';

const real = async (): Promise<LogSystem> => {
  const nats = await testNatsServer();
  const sessions: NatsSession[] = [];
  const open = async (namespace: string, maxBytes?: number): Promise<EventLog> => {
    const session = await connectNats(nats.connection, { name: `node-${sessions.length}`, env: systemEnv() });
    sessions.push(session);
    return openEventLog(session, { namespace, ...(maxBytes === undefined ? {} : { maxBytes }) });
  };
  return {
    open: (name) => open(name),
    openSmall: (name) => open(name, 21_000),
    close: async () => {
      for (const session of sessions) await session.close();
      await nats[Symbol.asyncDispose]();
    },
  };
};

describeEventLogContract('nats-server', real);
