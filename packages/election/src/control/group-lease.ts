/**
 * A group's lease as somebody sees it who takes no part: who holds it, under which epoch, and how much of it is left as
 * far as that can be told from outside. Nothing here may decide anything: only a conditional write does.
 */
import type { Kv, KvEntry } from '@canopy/nats';
import { epochOf } from '../lease/lease-value.ts';
import { sightingOf } from '../lease/sighting.ts';
import { tokenDigest } from '../lease/token-digest.ts';

export interface GroupLease {
  readonly group: string;
  /** `released`: given up with a successor in mind; `unreadable`: a value that is no lease. */
  readonly standing: 'held' | 'released' | 'vacant' | 'unreadable';
  readonly holder: string | undefined;
  readonly epoch: number | undefined;
  readonly priority: number;
  /** Tells two terms apart without being the token. */
  readonly term: string | undefined;
  /** With `released`: who was named. */
  readonly next: string | undefined;
  readonly revision: number;
  /** The lease's length by its value, else by the bucket's expiry; 0 = unknown. */
  readonly ttlMs: number;
  /**
   * The holder may go on for so long after its last write by the promises of all other candidates (failsafe); whether it does
   * can't be seen from outside. Undefined: it can't.
   */
  readonly failsafeMs: number | undefined;
  /** The last write by the server's wall clock, Unix ms. */
  readonly writtenAt: number;
}

/** What an entry of a bucket of leases says. */
export function groupLeaseOf(entry: KvEntry, bucketTtlMs: number): GroupLease {
  const { content, lease, revision } = sightingOf(entry);
  const standing =
    content === 'lease' ? 'held' : content === 'released' ? content : content === 'malformed' ? 'unreadable' : 'vacant';
  return {
    group: entry.key,
    standing,
    holder: standing === 'held' ? lease?.id : undefined,
    epoch: lease === undefined ? undefined : epochOf(lease, revision),
    priority: lease?.priority ?? 0,
    term: lease === undefined ? undefined : tokenDigest(lease.token),
    next: lease?.next,
    revision,
    ttlMs: lease?.ttlMs ?? bucketTtlMs,
    failsafeMs: lease?.failsafe?.limitMs,
    writtenAt: entry.writtenAt,
  };
}

/** All groups that the filter matches (`*` one token, `>` the rest; default all), by name. */
export async function readGroups(
  kv: Kv,
  options: { filter?: string | undefined; signal?: AbortSignal | undefined } = {},
): Promise<GroupLease[]> {
  const { filter = '>', signal } = options;
  const { ttlMs } = await kv.info({ signal });
  const groups: GroupLease[] = [];
  for await (const event of kv.watch(filter, { signal })) {
    if (event.type === 'entry') groups.push(groupLeaseOf(event.entry, ttlMs));
    if (event.type === 'synced') break;
  }
  signal?.throwIfAborted();
  return groups.sort((a, b) => (a.group < b.group ? -1 : 1));
}
