/** What a watcher of a bucket is told, from what the feed found. */
import type { FeedEvent } from '../watch/feed.ts';
import type { KvEntry, KvWatchEvent } from './port.ts';

const EMPTY = new Uint8Array(0);

/** A vanished key is told as a deletion with the revision last seen. */
export function toWatchEvent(event: FeedEvent<KvEntry>): KvWatchEvent {
  if (event.type !== 'change') return event;
  const { item, vanished } = event.change;
  return { type: 'entry', entry: vanished ? { ...item, value: EMPTY, operation: 'delete' } : item };
}
