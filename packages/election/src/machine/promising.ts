/**
 * Failsafe on a candidate's side: what it owes a holder that may go on past its lease. Invariants: after a promise no
 * term of this run begins, and nothing is written to take the lease, before the promise ends; whoever is not listed by
 * the value under the key waits its whole limit; and no value written over another, before its own term has begun, lets
 * in anybody whom the other kept out.
 */
import type { FailsafeCall } from '../failsafe/message.ts';
import type { FailsafeClause, LeaseValue } from '../lease/lease-value.ts';
import type { Sighting } from '../lease/sighting.ts';
import { type Draft, note } from './draft.ts';
import type { Rules } from './state.ts';

/** How long a lease keeps us away beyond its ttl: its limit, when its holder does not count on asking us. */
export function waitOfUnlisted(rules: Rules, lease: LeaseValue | undefined): number {
  const clause = lease?.failsafe;
  if (clause === undefined) return 0;
  const run = rules.failsafe?.run;
  return run !== undefined && clause.peers.includes(run) ? 0 : clause.limitMs;
}

/**
 * Gives the promise where it can be kept: not by one that holds a lease itself. A promise in error costs time only, so
 * a caller of an earlier run or a repeated call is as good as any; but one whose term is known to be over is refused.
 */
export function onCall(d: Draft, call: FailsafeCall): void {
  const { s, rules, now } = d;
  if (rules.failsafe === undefined || s.phase === 'idle' || s.phase === 'stopped') return;
  const { run, limitMs } = rules.failsafe;
  if (call.run === run) return;
  const wanted = call.promiseMs > 0 && call.promiseMs <= limitMs;
  const promised = wanted && s.phase === 'standing' && s.epochFloor <= call.epoch;
  if (promised) {
    const promisedUntil = Math.max(s.failsafe.promisedUntil, now + call.promiseMs);
    s.failsafe = { ...s.failsafe, promisedUntil };
  }
  const { round } = call;
  d.effects.push({
    type: 'tell',
    message: { type: 'answer', to: call.run, run, id: rules.instanceId, round, promised },
  });
}

/**
 * What the acquiring write says about others. Over a lease that is there it repeats that lease's list: its holder may
 * live on promises, ours among them, while we wait. Over nothing, or coming from outside the list (and so after the
 * limit, or barred until then), it lists nobody but ourselves.
 */
export function clauseOfAcquisition(d: Draft): FailsafeClause | undefined {
  const { observed } = d.s;
  const { failsafe } = d.rules;
  const replaced = observed.kind === 'held' && !observed.gone ? observed.lease?.failsafe : undefined;
  if (failsafe === undefined) return replaced === undefined ? undefined : { ...replaced, peers: [] };
  const { run, limitMs } = failsafe;
  if (replaced === undefined) return { limitMs, peers: [run] };
  const peers = replaced.peers.includes(run) ? replaced.peers : [run];
  return { limitMs: Math.max(limitMs, replaced.limitMs), peers };
}

/** A leader whose lease has no clause does not know what a promise is. */
export function watchForStrangers(d: Draft, { content, lease }: Sighting): void {
  const { s, rules } = d;
  if (rules.failsafe === undefined || (content !== 'lease' && content !== 'malformed')) return;
  const id = lease?.id ?? '(unreadable)';
  const { stranger } = s.failsafe;
  if (id === rules.instanceId || (lease?.failsafe !== undefined && id !== stranger)) return;
  if (lease?.failsafe !== undefined) s.failsafe = { ...s.failsafe, stranger: undefined };
  else if (stranger !== id) {
    s.failsafe = { ...s.failsafe, stranger: id };
    note(d, 'warn', 'failsafe_off', { unknown_candidate: id });
  }
}
