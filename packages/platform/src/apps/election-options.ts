/** What an app asks of its election. Made anew for each Election: the epochs that the database has seen grow. */
import type { DatabaseStatus } from '@canopy/core';
import type { ElectionOptions, LeaseWatchdog } from '@canopy/election';
import type { NatsSession } from '@canopy/nats';
import { electionBucket } from '../resources.ts';
import { DEMOTE_TIMEOUT_MS } from './bounds.ts';
import type { ResolvedAppOptions } from './options.ts';

export interface ElectionParts {
  readonly app: string;
  readonly platform: string;
  readonly node: string;
  readonly session: NatsSession;
  readonly election: ResolvedAppOptions['election'];
  readonly lease: LeaseWatchdog | undefined;
  readonly database: DatabaseStatus | undefined;
}

export function electionOptions(parts: ElectionParts): ElectionOptions {
  const { app, platform, node, session, election, lease, database } = parts;
  return {
    session,
    bucket: electionBucket(platform),
    group: app,
    instanceId: node,
    ttl: election.ttlMs,
    hookTimeout: DEMOTE_TIMEOUT_MS,
    epochFloor: Math.max(database?.position.epoch ?? 0, database?.logEnd?.epoch ?? 0),
    ...(election.heartbeatMs === undefined ? {} : { heartbeatInterval: election.heartbeatMs }),
    ...(lease === undefined ? {} : { watchdog: lease }),
  };
}
