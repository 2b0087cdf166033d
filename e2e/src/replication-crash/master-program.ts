/** One of several masters. */
import { MultiMasterManager, openEventLog } from '@canopy/replication';
import { runMember } from './member-server.ts';
import { MASTERS } from './plan.ts';

await runMember(async ({ id, session, store, env, cleanup }) => {
  const pipeline = await openEventLog(session, { namespace: MASTERS }, env);
  const config = { masterId: id, pipeline, stateManager: store, reportInterval: 1000 } as const;
  const master = cleanup.use(new MultiMasterManager(config, env));
  const failures: string[] = [];
  master.on('failed', ({ error }) => failures.push(String(error)));
  await master.subscribe();
  return {
    write: ({ key, value }) => master.write(key as string, { value }),
    count: ({ key }) => master.incrementPNCounter(key as string),
    read: async ({ keys }) => {
      const entities = await Promise.all((keys as string[]).map((key) => master.read(key)));
      return { values: entities.map((entity) => entity?.data.value ?? null) };
    },
    counts: async ({ keys }) => {
      return { values: await Promise.all((keys as string[]).map((key) => master.getPNCounter(key))) };
    },
    state: async () => {
      const { unsent, waiting, vectorClock } = master.getStatus();
      return { unsent, waiting, vectorClock, failures, hash: await master.stateHash() };
    },
  };
});
