/** `sync` of a primary, with the durability that the caller asks for on top of the log's own. */
import { coreErrors, type Position, type SyncOptions } from '@canopy/core';
import type { Primary } from '../primary/primary.ts';
import type { AppliedWait } from './applied-wait.ts';

/** Throws what `Primary.sync` throws, SQLITE_NOT_APPLIED, and, before anything is waited for, OPTIONS_INVALID for a number that is none and where the log is not in NATS. */
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
  if (wait === undefined)
    throw coreErrors.create('OPTIONS_INVALID', {
      subject: 'sync()',
      summary:
        'durability.applied (--applied) needs a log in NATS: copies of a log in a directory have no way to say what they have applied',
    });
  const stored = primary.sync(signal);
  // What has ended tells why in the answer to the next call.
  return wait.wait({ count, stored, signal, ended: () => (primary.hasEnded ? primary.sync(signal) : undefined) });
}
