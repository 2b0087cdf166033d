/**
 * Holding the lease: beginning the term, renewing, and losing it. Invariants: the deadline moves only by an acknowledged
 * write and counts from when that write was sent; once the deadline has passed, the term is over for good; a term begins
 * only when the watchdog knows it and no preempted holder can still act.
 */
import type { ElectionReason } from '../api.ts';
import type { Sighting } from '../lease/sighting.ts';
import { callDueAt, callOut, clauseOfRenewal } from './covering.ts';
import {
  backOff,
  beatAfter,
  changeTerm,
  coolDown,
  type Draft,
  leaseOf,
  note,
  observeOwn,
  recover,
  sendRead,
  show,
  takeOff,
} from './draft.ts';
import { beginRelease, settle } from './leaving.ts';
import { observe, observeRead } from './observing.ts';
import type { Flight, MachineState, Rules, Term } from './state.ts';

export function isHolding(s: MachineState): boolean {
  return s.phase === 'guarding' || s.phase === 'leading' || s.phase === 'yielding';
}

export function holdingDueAt(rules: Rules, s: MachineState): number {
  const term = s.term as Term;
  const graceAt =
    s.disconnectedAt === undefined || s.phase === 'yielding'
      ? Number.POSITIVE_INFINITY
      : s.disconnectedAt + rules.graceMs;
  const beginAt = s.phase === 'guarding' && term.guard === 'none' ? term.notBefore : Number.POSITIVE_INFINITY;
  const renewAt = s.flight === undefined ? Math.max(term.renewAt, s.retryAt) : Number.POSITIVE_INFINITY;
  return Math.min(term.deadline, graceAt, beginAt, renewAt, callDueAt(rules, s));
}

export function advanceHolding(d: Draft): void {
  const { s, rules } = d;
  const term = s.term as Term;
  if (d.now >= term.deadline) {
    lose(d, 'lease_expired');
    return;
  }
  if (s.disconnectedAt !== undefined && s.phase !== 'yielding' && d.now >= s.disconnectedAt + rules.graceMs) {
    lose(d, 'connection_loss');
    return;
  }
  if (s.phase === 'guarding' && d.now >= term.notBefore) {
    if (term.guard === 'known') promote(d, term);
    else if (term.guard === 'none') d.effects.push({ type: 'guard', term: changeTerm(d, { guard: 'asked' }) });
  }
  if (s.flight === undefined && d.now >= Math.max(term.renewAt, s.retryAt)) {
    if (term.doubt) sendRead(d);
    else {
      const op = takeOff(d, 'renew', term.token);
      const renewed = clauseOfRenewal(d);
      d.effects.push({ type: 'update', op, lease: leaseOf(d, renewed), revision: renewed.revision });
    }
  }
  callOut(d);
}

function promote(d: Draft, term: Term): void {
  d.s.phase = 'leading';
  d.s.raced = false;
  d.effects.push({ type: 'promote', term });
  show(d, 'leader', 'acquired', d.rules.instanceId);
}

/** The watchdog knows the term (or there is none). */
export function onGuarded(d: Draft): void {
  changeTerm(d, { guard: 'known' });
}

/** Nobody can guard the term: give the lease to a node that can. */
export function onUnguardable(d: Draft): void {
  note(d, 'warn', 'watchdog_unavailable');
  const { holdOffMs } = d.rules;
  d.s.leaving = { reason: 'warden_lost', holdOffMs, next: undefined, keepKey: false, final: false };
  beginRelease(d);
}

export function onRenewed(d: Draft, flight: Flight, revision: number): void {
  const { rules } = d;
  const old = d.s.term as Term;
  const deadline = Math.max(old.deadline, flight.sentAt + rules.ttlMs - rules.marginMs);
  if (d.s.failures > 0) note(d, 'debug', 'heartbeat_recovered');
  recover(d);
  if (old.covered) note(d, 'info', 'failsafe_ended', { epoch: old.epoch });
  if (old.verifying) note(d, 'info', 'reconnect_verification_success');
  const renewAt = beatAfter(rules, flight.sentAt);
  const written = { writtenAt: flight.sentAt, bound: old.clause?.peers, covered: false };
  const term = changeTerm(d, { revision, deadline, renewAt, doubt: false, verifying: false, ...written });
  observeOwn(d, revision, leaseOf(d, term));
  d.effects.push({ type: 'renewed', term, tookMs: d.now - flight.sentAt });
}

/** Lost or answered too late: nothing is known until the key is read back. */
export function onRenewUnknown(d: Draft): void {
  d.effects.push({ type: 'count', what: 'renew_failed' });
  note(d, 'warn', 'heartbeat_failed', { why: 'unknown_outcome', failures: d.s.failures + 1 });
  changeTerm(d, { doubt: true, renewAt: d.now });
  backOff(d);
}

/** The key has moved on: by an earlier write of ours whose answer was lost, or by somebody else. Read which. */
export function onRenewRefused(d: Draft): void {
  d.effects.push({ type: 'count', what: 'renew_failed' });
  note(d, 'warn', 'heartbeat_failed', { why: 'conflict' });
  changeTerm(d, { doubt: true, renewAt: d.now });
  d.s.retryAt = 0;
  sendRead(d);
}

/** The answer to reading back. Our token: adopt the revision and renew at once (the deadline stays). Else: lost. */
export function onHoldingRead(d: Draft, sighting: Sighting | undefined, sentAt: number): void {
  const term = d.s.term as Term;
  const reason: ElectionReason = term.verifying
    ? 'reconnect_verification_failed'
    : sighting === undefined
      ? 'key_deleted'
      : 'conflict';
  observeRead(d, sighting, sentAt);
  if (sighting?.content !== 'lease' || sighting.lease?.token !== term.token) {
    if (sighting !== undefined) note(d, 'warn', 'leadership_taken_over', { leader_id: sighting.lease?.id });
    lose(d, reason);
    return;
  }
  if (d.s.failures > 0) note(d, 'debug', 'heartbeat_recovered');
  recover(d);
  changeTerm(d, { revision: sighting.revision, doubt: false, renewAt: d.now });
}

/** A watch's message while the lease is held. */
export function onHoldingSighting(d: Draft, sighting: Sighting): void {
  const { s } = d;
  const term = s.term as Term;
  observe(d, sighting);
  const { revision, content, lease } = sighting;
  if (content === 'lease' && lease?.token === term.token) {
    if (revision > term.revision && s.flight === undefined) changeTerm(d, { revision, doubt: false });
  } else if (revision > term.revision) {
    note(d, 'warn', 'leadership_lost_via_watcher', { leader_id: lease?.id, content });
    lose(d, content === 'deleted' ? 'key_deleted' : 'conflict');
  }
  if (revision === term.revision && content === 'deleted') {
    // Gone from a listing: look before believing it.
    changeTerm(d, { doubt: true, renewAt: d.now });
  }
}

/** After a reconnect the next renewal is due now; it is also the proof that the lease is still ours. */
export function verifySoon(d: Draft): void {
  d.s.retryAt = 0;
  note(d, 'info', 'verifying_leadership_after_reconnect');
  changeTerm(d, { renewAt: d.now, verifying: true });
}

/** The lease is gone, or may be any moment: end the term at once. Nothing is written. */
export function lose(d: Draft, reason: ElectionReason): void {
  const { s } = d;
  const term = s.term as Term;
  const was = s.phase;
  d.effects.push({ type: 'count', what: 'lease_lost' });
  note(d, 'warn', 'leadership_lost', { reason, phase: was, epoch: term.epoch });
  coolDown(d);
  s.term = undefined;
  s.flight = undefined;
  s.stale = true;
  s.failures = 0;
  s.retryAt = 0;
  s.phase = 'standing';
  if (was === 'leading') {
    s.demoting = term.token;
    d.effects.push({ type: 'demote', token: term.token, reason, planned: false });
    show(d, 'demoted', reason, undefined);
  } else if (was === 'yielding') {
    s.demoting = term.token;
    if (reason === 'lease_expired') s.unreleased = term.token;
  } else {
    d.effects.push({ type: 'clear' });
    settle(d);
  }
}
