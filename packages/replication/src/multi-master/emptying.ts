/**
 * A master's store made empty, so that it joins anew. Invariant: the first commit takes its identity and its position away and leaves a mark, so whatever
 * a crash leaves of the rest is removed at the next opening, and never taken for the state at that position.
 */
import type { AtomicStore } from '../ports/atomic-store.ts';
import { put, type Space } from './durable-state.ts';

const PAGE = 500;
const SPACES: readonly Space[] = ['outbox', 'waiting', 'tombstones', 'pending', 'entities'];
/** Do not change: it is stored. */
const MARK = 'emptying';

/** Step by step, a commit each. Nobody else may write meanwhile. */
export function* emptied(store: AtomicStore): Generator<void> {
  store.commit([put('meta', MARK, 1), put('meta', 'self', undefined), put('meta', 'reader', undefined)]);
  yield* rest(store);
}

/** What a crash left of it. */
export function finishEmptying(store: AtomicStore): void {
  if (store.get('meta', MARK) !== undefined) for (const _ of rest(store));
}

function* rest(store: AtomicStore): Generator<void> {
  for (const space of SPACES)
    for (;;) {
      const page = store.scan(space, { limit: PAGE });
      if (page.length === 0) break;
      store.commit(page.map(([key]) => put(space, key, undefined)));
      yield;
    }
  store.commit([put('meta', MARK, undefined)]);
}
