/** One step in the making: the state as it becomes, and the effects so far. Lives only inside `step`. */
import { backoffMs } from '@canopy/core';
import type { ElectionReason, ElectionState } from '../api.ts';
import { epochOf, type FailsafeClause, type LeaseValue } from '../lease/lease-value.ts';
import type { Effect, Facts, Flight, MachineState, Rules, Term } from './state.ts';

export interface Draft {
  readonly rules: Rules;
  readonly now: number;
  readonly s: { -readonly [K in keyof MachineState]: MachineState[K] };
  /** This step took in the answer to a read that was sent then. */
  lookedAt?: number;
  readonly effects: Effect[];
}

/** Publishes a state; repeated only when the leader changed. */
export function show(d: Draft, view: ElectionState, reason: ElectionReason, leaderId: string | undefined): void {
  if (d.s.view === view && d.s.leaderId === leaderId) return;
  const from = d.s.view;
  d.s.view = view;
  d.s.leaderId = leaderId;
  d.effects.push({ type: 'changed', from, reason });
}

export function note(d: Draft, level: 'debug' | 'warn' | 'info', event: string, facts: Facts = {}): void {
  d.effects.push({ type: 'note', level, event, facts });
}

/** When the renewal after a write that was sent at `sentAt` is due. */
export function beatAfter({ heartbeatMs, beatGridMs = 0 }: Rules, sentAt: number): number {
  const at = sentAt + heartbeatMs;
  return beatGridMs === 0 ? at : Math.max(sentAt + heartbeatMs / 2, Math.floor(at / beatGridMs) * beatGridMs);
}

/** Claims the one request slot. */
export function takeOff(
  d: Draft,
  kind: Flight['kind'],
  token = '',
  clause?: FailsafeClause,
  sentAt: number = d.now,
): number {
  const op = d.s.ops + 1;
  d.s.ops = op;
  d.s.flight = { op, kind, sentAt, token, floor: d.s.epochFloor, clause };
  return op;
}

export function sendRead(d: Draft): void {
  d.s.polledAt = d.now;
  d.effects.push({ type: 'read', op: takeOff(d, 'read') });
}

/** A request failed: the next one waits, longer each time, never longer than a quarter of the lease. */
export function backOff(d: Draft): void {
  const maxMs = Math.max(100, d.rules.ttlMs / 4);
  d.s.retryAt = d.now + backoffMs(d.s.failures, { initialMs: 50, maxMs: Math.min(5000, maxMs) }, d.rules.random);
  d.s.failures += 1;
}

export function recover(d: Draft): void {
  d.s.failures = 0;
  d.s.retryAt = 0;
}

export function changeTerm(d: Draft, change: Partial<Term>): Term {
  const term = { ...(d.s.term as Term), ...change };
  d.s.term = term;
  return term;
}

/** The term is over: whoever leads next is left in peace for a while. */
export function coolDown(d: Draft): void {
  if (d.s.term !== undefined) d.s.preemptAfter = d.now + d.rules.takeoverCooldownMs;
}

/** The value of a renewal of the term. */
export function leaseOf(d: Draft, term: Term, extra: Partial<LeaseValue> = {}): LeaseValue {
  const { instanceId, priority, preemptible, ttlMs } = d.rules;
  const firm = preemptible ? {} : { firm: true };
  return {
    id: instanceId,
    token: term.token,
    priority,
    ...firm,
    epoch: term.epoch,
    ttlMs,
    ...(term.clause === undefined ? {} : { failsafe: term.clause }),
    ...extra,
  };
}

/** Our own write is the newest revision now. */
export function observeOwn(d: Draft, revision: number, lease: LeaseValue): void {
  d.s.observed = { kind: 'held', revision, lease, since: d.now, gone: false, jitter: d.rules.random.next() };
  d.s.epochFloor = Math.max(d.s.epochFloor, epochOf(lease, revision));
}
