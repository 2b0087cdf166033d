/** One of a leader and its followers: leads exactly while it is elected. */
import { Election } from '@canopy/election';
import {
  followElection,
  LeaderFollowerManager,
  openEventLog,
  stateHash,
  stateStore,
  type WriteRequest,
} from '@canopy/replication';
import { runMember } from './member-server.ts';
import { FOLLOWING, TTL_MS } from './plan.ts';

await runMember(async ({ id, session, store, env, cleanup }) => {
  const election = new Election({ session, bucket: 'crash', group: FOLLOWING, instanceId: id, ttl: TTL_MS }, env);
  const pipeline = await openEventLog(session, { namespace: FOLLOWING }, env);
  const state = stateStore(store);
  const manager = cleanup.use(
    new LeaderFollowerManager(
      { nodeId: id, role: 'follower', namespace: FOLLOWING, pipeline, stateStore: state, election },
      env,
    ),
  );
  await manager.start();
  await election.start();
  cleanup.defer(() => election.stop());
  cleanup.defer(followElection(manager, election, {}, env));
  return {
    write: async (body) => manager.write(body as unknown as WriteRequest),
    state: async () => {
      const { sequence, epoch } = state.position();
      return { role: manager.getRole(), applied: sequence, epoch, hash: stateHash(state.getAll()) };
    },
  };
});
