/**
 * Changes of leadership in a bucket, for people and programs that look on. Renewals are no changes. A lease that nobody
 * renews is reported as run out once this observer has seen one revision for the lease's length, as a candidate would.
 */
import { Broadcast, type Env, messageOf, type Timer } from '@canopy/core';
import type { Kv } from '@canopy/nats';
import { type GroupLease, groupLeaseOf } from './group-lease.ts';

export type GroupChange =
  | {
      readonly type: 'led' | 'released' | 'vacant' | 'unreadable' | 'expired';
      readonly lease: GroupLease;
      readonly at: number;
    }
  /** Everything present has been told; from here on it is news. */
  | { readonly type: 'synced'; readonly at: number }
  | { readonly type: 'interrupted'; readonly reason: string; readonly at: number };

interface Known {
  readonly lease: GroupLease;
  readonly expiry: Timer | undefined;
}

/** The present leases, then changes, `at` in wall ms here, until the signal aborts or the session closes. */
export async function* watchGroups(
  kv: Kv,
  env: Pick<Env, 'clock'>,
  options: { filter?: string | undefined; signal?: AbortSignal | undefined } = {},
): AsyncGenerator<GroupChange> {
  const { ttlMs } = await kv.info({ signal: options.signal });
  const ended = new AbortController();
  const signal = AbortSignal.any([ended.signal, ...(options.signal === undefined ? [] : [options.signal])]);
  const changes = new Broadcast<GroupChange>({ capacity: 4096 });
  const reader = changes.watch({ signal });
  const table = new GroupTable(ttlMs, env, (change) => changes.send(change));
  let failure: unknown;
  const follow = async (): Promise<void> => {
    for await (const event of kv.watch(options.filter ?? '>', { signal })) {
      const at = env.clock.wall();
      if (event.type === 'entry') table.saw(groupLeaseOf(event.entry, ttlMs));
      else changes.send(event.type === 'synced' ? { type: 'synced', at } : { ...event, at });
    }
  };
  const following = follow()
    .catch((error: unknown) => {
      failure = error;
    })
    .finally(() => changes.close());
  try {
    yield* reader;
    if (failure !== undefined && !signal.aborted)
      throw failure instanceof Error ? failure : new Error(messageOf(failure));
  } finally {
    ended.abort();
    table.close();
    await following;
  }
}

/** What is known of each group; tells what is new about one. */
class GroupTable {
  readonly #bucketTtlMs: number;
  readonly #clock: Env['clock'];
  readonly #tell: (change: GroupChange) => void;
  readonly #groups = new Map<string, Known>();

  constructor(bucketTtlMs: number, env: Pick<Env, 'clock'>, tell: (change: GroupChange) => void) {
    this.#bucketTtlMs = bucketTtlMs;
    this.#clock = env.clock;
    this.#tell = tell;
  }

  saw(lease: GroupLease): void {
    const before = this.#groups.get(lease.group);
    before?.expiry?.cancel();
    const ranOut = before?.lease.standing === 'vacant' && lease.standing === 'vacant';
    this.#groups.set(lease.group, { lease, expiry: this.#expiryOf(lease) });
    if (ranOut || isSame(before?.lease, lease)) return;
    const at = this.#clock.wall();
    // A key that vanished without a deletion is told with the revision last seen: the bucket dropped it.
    const vanished = lease.standing === 'vacant' && before?.lease.revision === lease.revision;
    if (vanished) this.#tell({ type: 'expired', lease: before.lease, at });
    else this.#tell({ type: lease.standing === 'held' ? 'led' : lease.standing, lease, at });
  }

  close(): void {
    for (const { expiry } of this.#groups.values()) expiry?.cancel();
  }

  #expiryOf(lease: GroupLease): Timer | undefined {
    const ttlMs = Math.max(lease.ttlMs, lease.standing === 'unreadable' ? this.#bucketTtlMs : 0);
    if (lease.standing === 'vacant' || ttlMs === 0) return undefined;
    return this.#clock.timer(ttlMs, () => {
      const gone: GroupLease = { ...lease, standing: 'vacant', holder: undefined, term: undefined };
      this.#groups.set(lease.group, { lease: gone, expiry: undefined });
      this.#tell({ type: 'expired', lease, at: this.#clock.wall() });
    });
  }
}

function isSame(before: GroupLease | undefined, now: GroupLease): boolean {
  return before?.standing === now.standing && before.term === now.term && before.next === now.next;
}
