/** Deletes are versions, and are forgotten when every member has seen them: nothing that hasn't can still come then. */
import type { DurableState } from './durable-state.ts';
import { covers, type EntityRecord, isTombstone } from './entity-record.ts';
import type { ClockRecord } from './event.ts';

const COLLECT_MAX = 1000;

/** Collects the removal of some of those that `stable`, what all have seen, covers. Returns how many. All else must have been flushed. */
export function forgetDeletes(state: DurableState, stable: ClockRecord): number {
  let gone = 0;
  for (const [id] of state.first<number>('tombstones', COLLECT_MAX)) {
    const record = state.get<EntityRecord>('entities', id);
    if (record !== undefined && isTombstone(record) && !covers(stable, record)) continue;
    state.set('tombstones', id, undefined);
    if (record !== undefined && isTombstone(record)) state.set('entities', id, undefined);
    gone += 1;
  }
  return gone;
}
