/** Automatic failover: a manager that leads exactly while its election says that it may. */
import { backoffMs, type Env, messageOf, systemEnv, TaskGroup } from '@canopy/core';
import type { LeaderElection } from '../ports/leadership.ts';
import type { LeaderFollowerManager } from './manager.ts';

/** `Election` of `@canopy/election` fits. */
export interface WatchedElection extends LeaderElection {
  /** Yields whenever leadership may have changed; what it yields is not looked at. */
  watch(options: { signal: AbortSignal }): AsyncIterable<unknown>;
}

const RETRY = { initialMs: 50, maxMs: 2000 };

/**
 * Promotes the manager when this node is elected and demotes it when it is not any more, until the returned function is called (it resolves when
 * nothing of this runs). A promotion that fails is tried again while the term lasts. The manager must have this election as its
 * `election`, so that a write is checked against it; and must have been started.
 */
export function followElection(
  manager: LeaderFollowerManager,
  election: WatchedElection,
  env: Env = systemEnv(),
): () => Promise<void> {
  const log = env.log.with({ node: manager.getNodeId() });
  let changed = Promise.withResolvers<void>();
  const wake = (): void => {
    changed.resolve();
    changed = Promise.withResolvers();
  };
  const tasks = new TaskGroup((error) => log.error('replication_failover_ended', { error: messageOf(error) }));
  tasks.run('watch the election', async (signal) => {
    for await (const _ of election.watch({ signal })) wake();
  });
  tasks.run('follow the election', async (signal) => {
    const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    for (let failures = 0; !signal.aborted && !manager.isClosed(); ) {
      const next = changed.promise;
      const term = election.leadership;
      const elected = term?.isValid() === true;
      let waitMs: number | undefined;
      try {
        if (elected && (manager.getRole() !== 'leader' || !manager.hasLeaderLock())) await manager.promote();
        else if (!elected && manager.getRole() === 'leader') await manager.demote();
        failures = 0;
      } catch (error) {
        log.warn('replication_failover_failed', { error: messageOf(error) });
        waitMs = backoffMs(failures++, RETRY, env.random);
      }
      const again = waitMs === undefined ? [] : [env.clock.sleep(waitMs, { signal }).catch(() => {})];
      await Promise.race([next, aborted, ...again]);
    }
  });
  return () => tasks.stop();
}
