/** One of a leader and its followers: leads exactly while it is elected. */
import { Election } from '@canopy/election';
import {
  BusProgressChannel,
  followElection,
  LeaderFollowerManager,
  parseSessionToken,
  SessionConsistentClient,
  stateHash,
  stateStore,
  type WriteAck,
  type WriteRequest,
} from '@canopy/replication';
import { runMember } from './member-server.ts';
import { FOLLOWING, TTL_MS } from './plan.ts';

/** Seldom enough that most restarts read the log, often enough that it is trimmed several times in a round. */
const SNAPSHOTS = { everyEvents: 150, keepEvents: 40, keep: 2 };

await runMember(FOLLOWING, async ({ id, session, store, log: pipeline, snapshots, planted, env, cleanup }) => {
  const election = new Election({ session, bucket: 'crash', group: FOLLOWING, instanceId: id, ttl: TTL_MS }, env);
  const state = stateStore(store);
  const manager = cleanup.use(
    new LeaderFollowerManager(
      {
        nodeId: id,
        role: 'follower',
        namespace: FOLLOWING,
        pipeline,
        stateStore: state,
        election,
        snapshots: { store: snapshots, ...SNAPSHOTS },
        progress: new BusProgressChannel(session.bus),
      },
      env,
    ),
  );
  await manager.start();
  await election.start();
  cleanup.defer(() => election.stop());
  cleanup.defer(followElection(manager, election, {}, env));
  return {
    write: async ({ request, ack, timeoutMs }) =>
      manager.write(request as WriteRequest, {
        ack: planted === 'early-answer' ? 'local' : (ack as WriteAck),
        timeoutMs: timeoutMs as number,
      }),
    read: async ({ key, token }) => {
      const isBound = token !== undefined && planted !== 'any-read';
      const options = { timeoutMs: 1000, ...(isBound ? { token: token as string } : {}) };
      const client = new SessionConsistentClient(manager, [], options);
      const value = await client.read(key as string);
      const seen = client.token ?? '';
      return { success: true, value, token: seen, sequence: parseSessionToken(seen).sequence };
    },
    state: async () => {
      const { sequence, epoch } = state.position();
      return { role: manager.getRole(), applied: sequence, epoch, hash: stateHash(state.getAll()) };
    },
  };
});
