/**
 * Not holding the lease: waiting for it to become free, and taking it. Invariant: a lease that another may hold is
 * written to only by compare-and-set at a revision that was seen unchanged for its whole length on our own clock.
 */
import { epochOf, type LeaseValue } from '../lease/lease-value.ts';
import { mayRepeat } from '../lease/revisions.ts';
import type { Sighting } from '../lease/sighting.ts';
import {
  backOff,
  beatAfter,
  type Draft,
  leaseOf,
  note,
  observeOwn,
  recover,
  sendRead,
  show,
  takeOff,
} from './draft.ts';
import { beginRelease } from './leaving.ts';
import { observeRead } from './observing.ts';
import { clauseOfAcquisition, waitOfUnlisted } from './promising.ts';
import type { Flight, MachineState, Rules, Term } from './state.ts';

const POLL_MIN_MS = 500;

/** When the observed lease has certainly ended. */
function expiryOf(rules: Rules, s: MachineState): number {
  const { lease, since } = s.observed;
  return since + Math.max(rules.ttlMs, lease?.ttlMs ?? 0, waitOfUnlisted(rules, lease));
}

function isOwn(s: MachineState): boolean {
  return s.ownToken !== undefined && s.observed.lease?.token === s.ownToken;
}

function mayPreempt(rules: Rules, s: MachineState): boolean {
  const { lease } = s.observed;
  if (!rules.allowPriorityTakeover || lease === undefined || lease.firm) return false;
  // Over a lease that does not list us the way would be barred for its whole limit: better to be listed first.
  return rules.priority > lease.priority && waitOfUnlisted(rules, lease) === 0;
}

/** When a standing node acts next: takes the lease, or reads. Undefined while it must not. */
export function standingDueAt(rules: Rules, s: MachineState): number | undefined {
  if (s.flight !== undefined || s.demoting !== undefined || s.leaving !== undefined) return undefined;
  const takeAt = takeDueAt(rules, s);
  if (s.observed.kind === 'unknown' || s.stale) return s.retryAt;
  return s.blind ? Math.min(takeAt, pollDueAt(rules, s)) : takeAt;
}

function isNamed(rules: Rules, s: MachineState): boolean {
  return s.observed.kind === 'released' && s.observed.lease?.next === rules.instanceId;
}

/** A rest after an own departure is for the others' sake: whoever is named does not take it. */
function takeDueAt(rules: Rules, s: MachineState): number {
  return Math.max(s.retryAt, isNamed(rules, s) ? 0 : s.holdOffUntil, s.failsafe.promisedUntil, freeAt(rules, s));
}

/** While the watch is silent, reading is all that tells of a release. */
function pollDueAt(rules: Rules, s: MachineState): number {
  return Math.max(s.retryAt, s.polledAt + Math.max(POLL_MIN_MS, rules.ttlMs / 3));
}

function freeAt(rules: Rules, s: MachineState): number {
  const { observed } = s;
  const jitter = observed.jitter * rules.jitterMs;
  switch (observed.kind) {
    case 'unknown':
      return 0;
    case 'vacant':
      return observed.since + jitter + (observed.revision < 0 ? (rules.failsafe?.limitMs ?? 0) : 0);
    case 'released': {
      if (isNamed(rules, s)) return observed.since;
      return observed.since + jitter + (observed.lease?.next === undefined ? 0 : rules.handoffWaitMs);
    }
    case 'held':
      if (isOwn(s)) return observed.since + jitter;
      if (!mayPreempt(rules, s)) return expiryOf(rules, s) + jitter;
      return Math.min(Math.max(observed.since, s.preemptAfter), expiryOf(rules, s)) + jitter;
  }
}

/** Does what is due; called at the end of every step. */
export function advanceStanding(d: Draft): void {
  const { s, rules } = d;
  if (mayRepeat(s.observed.revision) && d.now >= s.ownUntil) s.ownToken = undefined;
  reflect(d);
  const dueAt = standingDueAt(rules, s);
  if (dueAt === undefined || d.now < dueAt) return;
  const takeAt = takeDueAt(rules, s);
  if (s.stale || s.observed.kind === 'unknown' || d.now < takeAt || needsLook(d)) sendRead(d);
  else acquire(d);
}

/**
 * Where revisions repeat, a compare-and-set tells two buckets of one name apart only together with a look right before
 * it, from which the lease then counts (DESIGN.md, "A bucket made anew").
 */
function needsLook(d: Draft): boolean {
  return d.lookedAt === undefined && replaces(d.s) && mayRepeat(d.s.observed.revision);
}

/** The acquiring write replaces a value; else it is one that must find none. */
function replaces({ observed }: MachineState): boolean {
  return observed.kind !== 'vacant' && !observed.gone;
}

/**
 * A revision above one that was seen speaks for itself, but only in the bucket where it was seen: a key that is made may be
 * in a new one, whose revisions begin anew.
 */
function needsFloor(s: MachineState): boolean {
  const below = replaces(s) || !mayRepeat(s.observed.revision) ? Math.max(0, s.observed.revision) : 0;
  return s.epochFloor > below;
}

function acquire(d: Draft): void {
  const { s, rules } = d;
  const { observed } = s;
  const expired = observed.kind !== 'held' || isOwn(s) || d.now >= expiryOf(rules, s);
  if (!expired) {
    s.barredUntil = Math.max(s.barredUntil, expiryOf(rules, s));
    const { id: leader_id, priority: leader_priority } = observed.lease as LeaseValue;
    note(d, 'info', 'priority_takeover_opportunity', { leader_id, leader_priority, priority: rules.priority });
  }
  note(d, 'debug', 'attempting_acquire_with_retry', { observed: observed.kind, failures: s.failures });
  const token = rules.random.uuid();
  s.ownToken = token;
  const clause = clauseOfAcquisition(d);
  const lease: LeaseValue = {
    id: rules.instanceId,
    token,
    priority: rules.priority,
    ttlMs: rules.ttlMs,
    ...(rules.preemptible ? {} : { firm: true }),
    ...(needsFloor(s) ? { floor: s.epochFloor } : {}),
    ...(clause === undefined ? {} : { failsafe: clause }),
  };
  const sentAt = mayRepeat(observed.revision) ? (d.lookedAt ?? d.now) : d.now;
  s.ownUntil = sentAt + rules.ttlMs - rules.marginMs;
  const op = takeOff(d, 'acquire', token, clause, sentAt);
  if (replaces(s)) d.effects.push({ type: 'update', op, lease, revision: observed.revision });
  else d.effects.push({ type: 'create', op, lease });
}

/** The acquiring write was acknowledged: the lease counts from when it was sent. */
export function onAcquired(d: Draft, flight: Flight, revision: number): void {
  const { s, rules } = d;
  const term: Term = {
    token: flight.token,
    epoch: Math.max(revision, flight.floor + 1),
    revision,
    acquiredAt: flight.sentAt,
    deadline: flight.sentAt + rules.ttlMs - rules.marginMs,
    notBefore: Math.max(s.barredUntil, s.failsafe.promisedUntil),
    guard: 'none',
    renewAt: beatAfter(rules, flight.sentAt),
    doubt: false,
    verifying: false,
    writtenAt: flight.sentAt,
    clause: flight.clause,
    bound: flight.clause?.peers,
    covered: false,
  };
  recover(d);
  d.effects.push({ type: 'count', what: 'acquired' });
  note(d, 'info', 'acquire_success', { epoch: term.epoch, revision });
  if (s.barredUntil > d.now)
    note(d, 'warn', 'priority_takeover_success', { begins_in_ms: Math.round(s.barredUntil - d.now) });
  observeOwn(d, revision, leaseOf(d, term));
  if (s.leaving !== undefined) {
    s.term = term;
    beginRelease(d);
  } else if (d.now < term.deadline) {
    s.term = term;
    s.phase = 'guarding';
  }
  // An acknowledgement that came too late leaves a lease of our own token behind, which is taken anew.
}

export function onAcquireRefused(d: Draft): void {
  d.effects.push({ type: 'count', what: 'acquire_failed' });
  note(d, 'debug', 'acquire_failed', { why: 'conflict' });
  if (d.s.barredUntil > d.now) note(d, 'debug', 'priority_takeover_failed');
  d.s.stale = true;
  // Refused again without having seen why: reads that lag behind would have us write in circles.
  if (d.s.raced) backOff(d);
  else recover(d);
  d.s.raced = true;
}

export function onAcquireUnknown(d: Draft): void {
  d.effects.push({ type: 'count', what: 'acquire_failed' });
  note(d, 'warn', 'acquire_failed', { why: 'unknown_outcome' });
  d.s.stale = true;
  backOff(d);
  note(d, 'debug', 'acquire_retry', { attempt: d.s.failures, in_ms: Math.round(d.s.retryAt - d.now) });
}

export function onStandingRead(d: Draft, sighting: Sighting | undefined, sentAt: number): void {
  const before = d.s.observed.lease?.token;
  recover(d);
  observeRead(d, sighting, sentAt);
  const { kind, lease } = d.s.observed;
  if (kind === 'held' && before !== undefined && lease?.token !== before)
    note(d, 'info', 'leader_changed_periodic_check', { leader_id: lease?.id });
}

/** Publishes follower or candidate as the observation says. */
function reflect(d: Draft): void {
  const { s, rules } = d;
  if (s.demoting !== undefined || s.leaving !== undefined) return;
  const { observed } = s;
  if (observed.kind === 'unknown') return;
  if (observed.kind === 'held' && !isOwn(s)) {
    if (d.now < expiryOf(rules, s)) {
      show(d, 'follower', s.raced ? 'lost_race' : 'observed_leader', observed.lease?.id);
      s.raced = false;
    } else show(d, 'candidate', 'lease_expired', undefined);
  } else show(d, 'candidate', 'vacancy', undefined);
}

/** The epoch of the leader that is observed, as far as known. */
export function observedEpoch(s: MachineState): number | undefined {
  const { observed } = s;
  if (observed.kind !== 'held' || observed.lease === undefined) return undefined;
  return epochOf(observed.lease, observed.revision);
}
