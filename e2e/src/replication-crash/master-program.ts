/** One of several masters. */
import { MultiMasterManager } from '@canopy/replication';
import { runMember } from './member-server.ts';
import { MASTERS } from './plan.ts';

const SNAPSHOTS_KEPT = 2;

await runMember(MASTERS, async ({ id, log: pipeline, store, snapshots, planted, env, cleanup }) => {
  const config = { masterId: id, pipeline, stateManager: store, snapshots, reportInterval: 1000 } as const;
  const master = cleanup.use(new MultiMasterManager(config, env));
  const failures: string[] = [];
  master.on('failed', ({ error }) => failures.push(String(error)));
  await master.subscribe();
  return {
    write: ({ key, value, ack }) =>
      master.write(key as string, { value }, { ack: planted === 'early-answer' ? 'local' : (ack as 'local' | 'log') }),
    count: ({ key }) => master.incrementPNCounter(key as string),
    read: async ({ keys }) => {
      const entities = await Promise.all((keys as string[]).map((key) => master.read(key)));
      return { values: entities.map((entity) => entity?.data.value ?? null) };
    },
    counts: async ({ keys }) => {
      return { values: await Promise.all((keys as string[]).map((key) => master.getPNCounter(key))) };
    },
    snapshot: async () => {
      const info = await master.takeSnapshot({ trim: true });
      await snapshots.prune(pipeline.name, SNAPSHOTS_KEPT);
      return info;
    },
    state: async () => {
      const { unsent, waiting, vectorClock } = master.getStatus();
      return { unsent, waiting, vectorClock, failures, hash: await master.stateHash() };
    },
  };
});
