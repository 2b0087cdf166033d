/** A watch on a bucket of the twin: events in order, `interrupted` when the session is cut, the differences when healed. */

import type { FeedEvent } from '../watch/feed.ts';
import { LatestQueue } from '../watch/latest-queue.ts';
import { type Change, type Item, Mirror } from '../watch/mirror.ts';
import type { MemoryCall } from './hub.ts';
import type { Table } from './table.ts';
import type { MemoryWire } from './wire.ts';

/** `table` gives the present bucket, or undefined while there is none. */
export function watchTable<T extends Item, E>(
  wire: MemoryWire,
  table: () => Table<T> | undefined,
  call: Omit<MemoryCall, 'session'>,
  accept: (key: string) => boolean,
  toEvent: (event: FeedEvent<T>) => E,
  signal: AbortSignal | undefined,
): AsyncIterableIterator<E> {
  const mirror = new Mirror<T>();
  /** Grows with every listing: deliveries that were on their way before it are dropped. */
  let generation = 0;
  let lastDueAt = 0;
  let interrupted = false;
  let forgetTable = (): void => {};

  const end = (): void => queue.end();
  const queue = new LatestQueue<E>(() => {
    generation += 1;
    forgetTable();
    forgetWire();
    signal?.removeEventListener('abort', end);
  });
  const tell = (change: Change<T>): void => {
    if (accept(change.key)) queue.push(change.key, toEvent({ type: 'change', change }), change.present);
  };
  const receive = (change: Change<T>): void => {
    const news = mirror.apply(change);
    if (news !== undefined) tell(news);
  };
  const onChange = (change: Change<T>): void => {
    const { delayMs = 0 } = wire.faultOf({ ...call, operation: 'deliver', key: change.key });
    const now = wire.env.clock.monotonic();
    const dueAt = Math.max(lastDueAt, now + delayMs);
    if (dueAt <= now) {
      receive(change);
      return;
    }
    lastDueAt = dueAt;
    const mine = generation;
    wire.env.clock.timer(dueAt - now, () => {
      if (mine === generation) receive(change);
    });
  };
  const list = (): void => {
    const present = table();
    if (!wire.up || present === undefined) return;
    generation += 1;
    forgetTable();
    forgetTable = present.listen(onChange);
    mirror.beginListing();
    for (const [key, item] of present.present()) receive({ key, item, present: true });
    for (const gone of mirror.endListing()) tell(gone);
    interrupted = false;
    queue.synced(toEvent({ type: 'synced' }));
  };
  const forgetWire = wire.onChange(() => {
    if (wire.closing.aborted || wire.up) {
      if (wire.up) list();
      else end();
      return;
    }
    generation += 1;
    forgetTable();
    if (interrupted) return;
    interrupted = true;
    queue.interrupted(toEvent({ type: 'interrupted', reason: wire.downReason }));
  });
  if (signal?.aborted) end();
  else {
    signal?.addEventListener('abort', end, { once: true });
    list();
  }
  return queue;
}
