/** Puts together what follows the log with a replica file: the follower, and what it tells to primaries. */
import type { DatabaseEvent, Env, Position } from '@canopy/core';
import type { NatsSession } from '@canopy/nats';
import { AppliedReporter } from '../applied/reporter.ts';
import type { SegmentLog } from '../log/segment-log.ts';
import { Follower } from '../standby/follower.ts';
import type { ReplicaFile } from '../standby/replica-file.ts';
import type { DatabaseSpec } from './protocol.ts';

export interface FollowingDeps {
  readonly spec: Pick<DatabaseSpec, 'node' | 'path' | 'options'>;
  readonly env: Env;
  readonly log: SegmentLog;
  readonly directory: string;
  /** Undefined where the log is not reached through NATS: then nobody is told. */
  readonly session: NatsSession | undefined;
  onEvent(event: DatabaseEvent): void;
  onStatus(): void;
}

/** To be started. `end` is the log's end as last seen. */
export function followWith(deps: FollowingDeps, file: ReplicaFile, end: Position): Follower {
  const { spec, env, log, directory, session, onEvent, onStatus } = deps;
  const position = (): Position => file.position;
  const reporter =
    session && new AppliedReporter({ bus: session.bus, log, node: spec.node, copy: spec.path, env, position });
  const isConnected = session && ((): boolean => session.status().connected);
  const { stallAfterMs } = spec.options;
  const told = { onEvent, onChange: onStatus, reporter };
  return new Follower({ file, log, env, directory, stallAfterMs, isConnected, ...told }, end);
}
