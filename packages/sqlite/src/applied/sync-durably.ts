/** `sync` of a primary, with the durability that the caller asks for on top of the log's own. */
import { coreErrors, formatPosition, type Position, type SyncOptions } from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import type { Primary } from '../primary/primary.ts';
import type { AppliedWait } from './applied-wait.ts';

/** Throws what `Primary.sync` throws, SQLITE_NOT_APPLIED, and OPTIONS_INVALID for a number that is none. */
export async function syncDurably(
  primary: Primary,
  wait: AppliedWait | undefined,
  { signal, durability = 'replicated' }: SyncOptions,
): Promise<Position> {
  if (durability === 'replicated') return primary.sync(signal);
  const count = durability.applied;
  if (!Number.isSafeInteger(count) || count < 1)
    throw coreErrors.create('OPTIONS_INVALID', {
      subject: 'sync()',
      summary: `durability.applied must be a whole number from 1 on, got ${count}`,
    });
  const stored = primary.sync(signal);
  if (wait === undefined)
    throw sqliteErrors.create('SQLITE_NOT_APPLIED', {
      position: formatPosition(await stored),
      applied: 0,
      wanted: count,
      nodes: '',
      seen: 'standbys of this log have no way to tell',
    });
  // What has ended tells why in the answer to the next call.
  return wait.wait({ count, stored, signal, ended: () => (primary.hasEnded ? primary.sync(signal) : undefined) });
}
