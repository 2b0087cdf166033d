/** One look at a group's key, from a read or a watch, in the terms of the protocol. */
import type { KvEntry } from '@canopy/nats';
import { decodeLease, type LeaseValue } from './lease-value.ts';

export interface Sighting {
  readonly revision: number;
  /** The server's clock at the write, ms: only ever compared for equality, where a revision alone may repeat. */
  readonly stamp?: number | undefined;
  /** `deleted`: a deletion marker; `empty`: a live entry without a value, which counts as vacant. */
  readonly content: 'lease' | 'released' | 'malformed' | 'empty' | 'deleted';
  readonly lease: LeaseValue | undefined;
}

/** What an entry of the bucket means. */
export function sightingOf(entry: Pick<KvEntry, 'revision' | 'operation' | 'value' | 'writtenAt'>): Sighting {
  const { revision, writtenAt: stamp } = entry;
  if (entry.operation === 'delete') return { revision, stamp, content: 'deleted', lease: undefined };
  if (entry.value.length === 0) return { revision, stamp, content: 'empty', lease: undefined };
  const lease = decodeLease(entry.value);
  if (lease === undefined) return { revision, stamp, content: 'malformed', lease };
  return { revision, stamp, content: lease.released === true ? 'released' : 'lease', lease };
}
