import { MemoryNats } from '@canopy/nats/memory';
import { MemoryLog, openEventLog } from '@canopy/replication';
import { describeEventLogContract, type LogSystem } from './event-log.contract.ts';

const memory = async (): Promise<LogSystem> => {
  const logs = new Map<string, MemoryLog>();
  const open = async (name: string, maxEvents = Number.POSITIVE_INFINITY) => {
    const log = logs.get(name) ?? new MemoryLog(name, { maxEvents });
    logs.set(name, log);
    return log.connect();
  };
  return { open, openSmall: (name) => open(name, 20), close: async () => {} };
};

/** The very log, on the twin of NATS. */
const onTwin = async (): Promise<LogSystem> => {
  const hub = new MemoryNats();
  return {
    open: (namespace) => openEventLog(hub.session(), { namespace }),
    openSmall: (namespace) => openEventLog(hub.session(), { namespace, maxBytes: 21_000 }),
    close: async () => {},
  };
};

describeEventLogContract('memory', memory);
describeEventLogContract('JetStream in memory', onTwin);
