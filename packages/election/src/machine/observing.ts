/**
 * What a look at the key teaches. Invariant: `since` is never earlier than the moment this node first saw the revision,
 * and a revision already passed is never taken for news, so late and repeated messages only ever make a candidate wait.
 */
import { epochOf } from '../lease/lease-value.ts';
import { mayRepeat } from '../lease/revisions.ts';
import type { Sighting } from '../lease/sighting.ts';
import type { Draft } from './draft.ts';
import { watchForStrangers } from './promising.ts';
import type { Observation } from './state.ts';

const KIND: Readonly<Record<Sighting['content'], Observation['kind']>> = {
  lease: 'held',
  malformed: 'held',
  released: 'released',
  empty: 'released',
  deleted: 'vacant',
};

/** A candidate that has just come does not wait: it is alone more often than one of a herd, and writes only once. */
function jitterOf(d: Draft): number {
  return d.s.observed.kind === 'unknown' ? 0 : d.rules.random.next();
}

/** Takes a watch's message in. */
export function observe(d: Draft, sighting: Sighting): void {
  const { observed } = d.s;
  if (sighting.revision > observed.revision) adopt(d, sighting);
  else if (sighting.revision === observed.revision && sighting.content === 'deleted') vanish(d);
}

/**
 * Takes the answer of a read in: the whole truth at some moment after `sentAt`. A revision below one that was seen
 * before the read was sent means that the bucket was made anew, so what was known is forgotten.
 */
export function observeRead(d: Draft, sighting: Sighting | undefined, sentAt: number): void {
  const { observed } = d.s;
  d.s.stale = false;
  d.lookedAt = sentAt;
  if (sighting === undefined) {
    if (observed.since <= sentAt) vanish(d);
  } else if (sighting.revision > observed.revision || observed.since < sentAt) {
    if (!isSame(sighting, observed)) adopt(d, sighting);
    else if (observed.gone) d.s.observed = { ...observed, gone: false };
  }
}

/**
 * Whether nothing was written between the two. Where revisions repeat, a bucket made anew may have come as far as the old
 * one; and even the value may be the same there, when it was under way for long. The server's clock tells those apart. A
 * write of our own has no stamp until it is looked at, and then counts as news: that costs us a wait.
 */
function isSame(sighting: Sighting, observed: Observation): boolean {
  if (sighting.revision !== observed.revision || sighting.lease?.token !== observed.lease?.token) return false;
  return !mayRepeat(sighting.revision) || sighting.stamp === observed.stamp;
}

function adopt(d: Draft, { revision, stamp, content, lease }: Sighting): void {
  d.s.observed = {
    kind: KIND[content],
    revision,
    stamp,
    lease,
    since: d.now,
    gone: false,
    jitter: jitterOf(d),
  };
  watchForStrangers(d, { revision, content, lease });
  if (lease !== undefined) d.s.epochFloor = Math.max(d.s.epochFloor, epochOf(lease, revision));
}

/**
 * The key is not there although nobody deleted it: it expired on the server, whose clock is not ours. A lease that was
 * held is waited out all the same.
 */
function vanish(d: Draft): void {
  const { observed } = d.s;
  if (observed.kind === 'held') d.s.observed = { ...observed, gone: true };
  else if (observed.kind !== 'vacant')
    // With failsafe nothing is as good as never having looked: who comes to an empty bucket can't know who still leads.
    d.s.observed = {
      ...observed,
      ...(d.rules.failsafe && { revision: -1 }),
      kind: 'vacant',
      lease: undefined,
      since: d.now,
      jitter: jitterOf(d),
    };
}
