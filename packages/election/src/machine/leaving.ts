/**
 * Giving the lease up on purpose. The order is the safety: the term's signal aborts, the hooks end while renewals keep
 * everybody else away, and only then is the lease released, at the revision that we know. Hooks that did not end in time
 * leave the lease to run out instead: what still runs is fenced by then.
 */
import { mayRepeat } from '../lease/revisions.ts';
import type { Sighting } from '../lease/sighting.ts';
import { backOff, changeTerm, coolDown, type Draft, leaseOf, note, recover, sendRead, show, takeOff } from './draft.ts';
import { observe, observeRead } from './observing.ts';
import type { Leaving, MachineState, Term } from './state.ts';

/** Past it the lease is left to expire. */
const RELEASE_TRIES_MAX = 5;

export function onLeave(d: Draft, leaving: Leaving): void {
  const { s } = d;
  if (s.phase === 'stopped') return;
  // A stop outranks a step-down under way; anything else waits for its own turn and is dropped.
  if (s.leaving !== undefined && !leaving.final) return;
  s.leaving = { ...leaving, next: leaving.next ?? s.leaving?.next };
  switch (s.phase) {
    case 'leading': {
      const { token } = s.term as Term;
      s.phase = 'yielding';
      d.effects.push({ type: 'demote', token, reason: leaving.reason, planned: true });
      show(d, 'demoted', leaving.reason, undefined);
      return;
    }
    case 'guarding':
      beginRelease(d);
      return;
    case 'yielding':
    case 'releasing':
      return;
    default:
      // Hooks of a lost term, or an acquisition under way, are waited for.
      if (s.demoting === undefined && s.flight?.kind !== 'acquire') settle(d);
  }
}

/** The hooks of the term with this token have ended. */
export function onDemoted(d: Draft, token: string, clean: boolean): void {
  const { s } = d;
  if (!clean) {
    // Things may still run under the old token: even we wait for its lease to end.
    note(d, 'warn', 'demotion_unclean');
    s.ownToken = undefined;
    s.unreleased = token;
  }
  if (s.phase === 'yielding' && s.term?.token === token) {
    if (clean && s.leaving?.keepKey !== true) {
      beginRelease(d);
      return;
    }
    if (clean) d.effects.push({ type: 'clear' });
    settle(d);
    return;
  }
  if (s.demoting !== token) return;
  s.demoting = undefined;
  if (clean) d.effects.push({ type: 'clear' });
  settle(d);
}

/** Nothing runs under the lease any more. */
export function beginRelease(d: Draft): void {
  const { s } = d;
  s.phase = 'releasing';
  s.releaseTries = 0;
  s.retryAt = 0;
  d.effects.push({ type: 'clear' });
}

export function advanceReleasing(d: Draft): void {
  const { s } = d;
  const term = s.term as Term;
  // A preempted holder may still act: the lease that keeps everybody away must stay until it can't.
  if (s.flight !== undefined || d.now < Math.max(s.retryAt, term.notBefore)) return;
  // Where revisions repeat, what lies under ours may by now be the lease of another, in another bucket.
  const late = mayRepeat(term.revision) && d.now >= term.deadline;
  if (late || s.releaseTries >= RELEASE_TRIES_MAX) {
    note(d, 'warn', 'key_deletion_failed');
    s.unreleased = term.token;
    settle(d);
    return;
  }
  s.releaseTries += 1;
  if (term.doubt) {
    sendRead(d);
    return;
  }
  const op = takeOff(d, 'release', term.token);
  const next = s.leaving?.next;
  if (!keepsValue(d, term)) d.effects.push({ type: 'delete', op, revision: term.revision });
  else {
    const lease = leaseOf(d, term, { released: true, ...(next === undefined ? {} : { next }) });
    d.effects.push({ type: 'update', op, lease, revision: term.revision });
  }
}

export function releasingDueAt(s: MachineState): number {
  return s.flight === undefined ? Math.max(s.retryAt, (s.term as Term).notBefore) : Number.POSITIVE_INFINITY;
}

export function onReleased(d: Draft, revision: number): void {
  const { s } = d;
  const term = s.term as Term;
  const next = s.leaving?.next;
  const lease = leaseOf(d, term, { released: true, ...(next === undefined ? {} : { next }) });
  note(d, 'info', 'key_deleted', { epoch: term.epoch, next });
  const kept = keepsValue(d, term);
  observe(d, { revision, content: kept ? 'released' : 'deleted', lease: kept ? lease : undefined });
  settle(d);
}

/**
 * A deletion forgets the epoch, which is bad where that runs ahead of the revisions (a bucket made anew), and it can't be
 * told from a key that vanished, after which those who come new to a group with failsafe wait.
 */
function keepsValue(d: Draft, term: Term): boolean {
  return d.s.leaving?.next !== undefined || term.epoch > term.revision || d.rules.failsafe !== undefined;
}

/** Conflict or no answer: see what is there. */
export function onReleaseUnknown(d: Draft, refused: boolean): void {
  changeTerm(d, { doubt: true });
  if (!refused) backOff(d);
}

export function onReleasingRead(d: Draft, sighting: Sighting | undefined, sentAt: number): void {
  const term = d.s.term as Term;
  recover(d);
  observeRead(d, sighting, sentAt);
  if (sighting?.content === 'lease' && sighting.lease?.token === term.token)
    changeTerm(d, { revision: sighting.revision, doubt: false });
  else settle(d);
}

/** The departure is complete, or the term is over: stand again after the hold-off, or stop. */
export function settle(d: Draft): void {
  const { s } = d;
  const { leaving } = s;
  coolDown(d);
  s.term = undefined;
  s.flight = undefined;
  s.leaving = undefined;
  recover(d);
  if (leaving === undefined) {
    s.phase = 'standing';
    return;
  }
  s.phase = leaving.final ? 'stopped' : 'standing';
  if (leaving.final) show(d, 'stopped', leaving.reason, undefined);
  else s.holdOffUntil = Math.max(s.holdOffUntil, d.now + leaving.holdOffMs);
}
