/** Asks the holder of a group's lease to give it up, from any process. */
import { hasCode } from '@canopy/core';
import type { NatsSession } from '@canopy/nats';
import { epochOf } from '../lease/lease-value.ts';
import { sightingOf } from '../lease/sighting.ts';
import { controlErrors } from './errors.ts';
import { controlSubject, decodeAnswer, encodeControl } from './subjects.ts';

export interface RequestStepDownOptions {
  readonly bucket: string;
  readonly group: string;
  /** Who should take over; default whoever is first. */
  readonly to?: string | undefined;
  /** Bound on the whole request, the holder's hooks included. Default 15 s. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}

export interface SteppedDown {
  readonly from: string;
  /** Of the term that ended. */
  readonly epoch: number;
  /** From the holder's hearing of it to the lease's release. */
  readonly ms: number;
}

/**
 * Resolves when the lease was released. ELECTION_GROUP_VACANT, ELECTION_HOLDER_SILENT, ELECTION_TERM_CHANGED,
 * ELECTION_NOT_LEADER, ELECTION_HANDOFF_TARGET, DEADLINE_EXCEEDED (the holder heard of it, but was not done), and what reading
 * the bucket may throw.
 */
export async function requestStepDown(session: NatsSession, options: RequestStepDownOptions): Promise<SteppedDown> {
  const { bucket, group, to, timeoutMs = 15_000, signal } = options;
  const kv = await session.kv(bucket);
  const entry = await kv.get(group, { signal });
  const seen = entry === undefined ? undefined : sightingOf(entry);
  if (seen?.content !== 'lease' || seen.lease === undefined)
    throw controlErrors.create('ELECTION_GROUP_VACANT', { group, bucket });
  const holder = seen.lease.id;
  // Before its first renewal another peer's term can't be told by its epoch; the holder's id has to do.
  const epoch = seen.lease.ttlMs === undefined ? undefined : epochOf(seen.lease, seen.revision);
  const question = encodeControl({
    op: 'step_down',
    ...(epoch === undefined ? {} : { epoch }),
    ...(to === undefined ? {} : { to }),
  });
  try {
    const message = await session.bus.request(controlSubject(bucket, group, holder), question, { timeoutMs, signal });
    const answer = decodeAnswer(message.data);
    if (answer === undefined) throw controlErrors.create('ELECTION_HOLDER_SILENT', { group, holder });
    if (!answer.ok) throw answer.error;
    return { from: holder, epoch: answer.epoch, ms: answer.ms };
  } catch (error) {
    if (hasCode(error, 'BUS_NO_RESPONDERS'))
      throw controlErrors.create('ELECTION_HOLDER_SILENT', { group, holder }, error);
    throw error;
  }
}
