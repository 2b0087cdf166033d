/** What an app makes of its database's events: entries of the timeline, log lines, and reasons to end the term. */
import { type DatabaseEvent, formatPosition, type Logger, messageOf } from '@canopy/core';
import type { Timeline } from './timeline.ts';

/** Why the term must end, when it must. */
export interface DatabaseVerdict {
  readonly event: 'fenced' | 'failed';
  readonly reason: string;
}

export function noteDatabaseEvent(
  event: DatabaseEvent,
  epoch: number | undefined,
  timeline: Timeline,
  log: Logger,
): DatabaseVerdict | undefined {
  switch (event.type) {
    case 'wal_catchup_completed':
      timeline.add('caught_up', { epoch, detail: `${event.applied} applied` });
      return undefined;
    case 'epoch_claimed':
      timeline.add('claimed', { epoch, detail: formatPosition(event.position) });
      return undefined;
    case 'database_verified':
      timeline.add('verified', { epoch, detail: event.method });
      return undefined;
    case 'divergence_kept':
      timeline.add('diverged', { detail: event.directory });
      return undefined;
    case 'stalled':
      log.warn('database_stalled', { position: formatPosition(event.position), sinceMs: event.sinceMs });
      return undefined;
    case 'following_interrupted':
      log.warn('database_following_interrupted', { position: formatPosition(event.position), reason: event.reason });
      return undefined;
    case 'following_resumed':
      log.info('database_following_resumed', { position: formatPosition(event.position), ms: event.ms });
      return undefined;
    case 'shipping_interrupted':
      log.warn('database_shipping_interrupted', { position: formatPosition(event.position), sinceMs: event.sinceMs });
      return undefined;
    case 'shipping_resumed':
      log.info('database_shipping_resumed', { position: formatPosition(event.position), ms: event.ms });
      return undefined;
    case 'fenced':
      return { event: 'fenced', reason: `the log belongs to epoch ${event.epoch}` };
    case 'failed':
      return { event: 'failed', reason: `database: ${messageOf(event.error)}` };
    default:
      return undefined;
  }
}
