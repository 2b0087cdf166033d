/**
 * Failsafe on the holder's side: who must promise, and what promises are worth. Invariants: everybody who may take the
 * lease after one ttl is bound, that is, listed by some write of ours that may be under the key; the deadline moves only
 * when all of them have promised, and counts from when the oldest of the calls that they answered was *sent*; it never
 * lies further past the last acknowledged write than those who are not listed wait.
 */
import type { FailsafeAnswer } from '../failsafe/message.ts';
import type { FailsafeClause } from '../lease/lease-value.ts';
import { changeTerm, type Draft, note } from './draft.ts';
import type { MachineState, Peer, Rules, Term } from './state.ts';

/** In a larger group failsafe stays off: one that can't answer is too likely then. */
const LISTED_MAX = 64;
const PEERS_MAX = 256;
/** Unheard for so many calls: no longer listed. */
const SILENT_CALLS = 4;

/** When the next call to all candidates is due: each heartbeat, and faster while renewals fail. */
export function callDueAt(rules: Rules, s: MachineState): number {
  if (rules.failsafe === undefined) return Number.POSITIVE_INFINITY;
  const { calledAt } = s.failsafe;
  const term = s.term as Term;
  const urgentAt = calledAt + rules.ttlMs / 10;
  if (term.doubt || term.covered || s.failures > 0) return urgentAt;
  return Math.min(calledAt + rules.heartbeatMs, Math.max(urgentAt, overdueAt(rules, term)));
}

/** A renewal should long have been answered. */
function overdueAt(rules: Rules, term: Term): number {
  return term.writtenAt + rules.ttlMs / 2;
}

export function callOut(d: Draft): void {
  const { s, rules, now } = d;
  if (rules.failsafe === undefined || now < callDueAt(rules, s)) return;
  const term = s.term as Term;
  const overdue = term.doubt || term.covered || s.failures > 0 || now >= overdueAt(rules, term);
  const asked = mayExtend(d) && overdue;
  const round = s.failsafe.round + 1;
  const rounds = s.failsafe.rounds.filter((each) => now - each.sentAt < rules.ttlMs);
  s.failsafe = { ...s.failsafe, round, calledAt: now, rounds: [...rounds, { round, sentAt: now, asked }] };
  const { run } = rules.failsafe;
  const promiseMs = asked ? rules.ttlMs : 0;
  d.effects.push({
    type: 'tell',
    message: { type: 'call', run, id: rules.instanceId, round, epoch: term.epoch, promiseMs },
  });
}

/** Somebody is there, and may have promised. An answer without a round that we know of still says the former. */
export function onAnswer(d: Draft, answer: FailsafeAnswer): void {
  const { s, rules, now } = d;
  if (s.term === undefined || answer.to !== rules.failsafe?.run) return;
  const { run, id } = answer;
  const { peers, rounds, stranger } = s.failsafe;
  const known = peers.find((peer) => peer.run === run);
  const round = rounds.find((each) => each.round === answer.round);
  const from = answer.promised && round?.asked === true ? round.sentAt : Number.NEGATIVE_INFINITY;
  const before = known?.promisedFrom ?? Number.NEGATIVE_INFINITY;
  const latest = Math.max(from, before);
  const peer: Peer = { run, id, heardAt: now, promisedFrom: Number.isFinite(latest) ? latest : undefined };
  const others = peers.filter((each) => each.run !== run).slice(-PEERS_MAX + 1);
  s.failsafe = { ...s.failsafe, peers: [...others, peer], stranger: stranger === id ? undefined : stranger };
  extend(d);
}

/** Moves the deadline when everybody who is bound has promised. */
function extend(d: Draft): void {
  const { s, rules } = d;
  const term = s.term as Term;
  if (!mayExtend(d) || rules.failsafe === undefined) return;
  const { run, limitMs } = rules.failsafe;
  const bound = (term.bound as readonly string[]).filter((each) => each !== run);
  const promises = bound.map((each) => s.failsafe.peers.find((peer) => peer.run === each)?.promisedFrom);
  // Alone there is nobody to ask, and a vow to oneself is none.
  if (promises.length === 0 || promises.includes(undefined)) return;
  const promisedFrom = Math.min(...(promises as number[]));
  const limit = term.writtenAt + limitMs - Math.max(rules.marginMs, limitMs / 10);
  const deadline = Math.min(promisedFrom + rules.ttlMs - rules.marginMs, limit);
  if (deadline <= term.deadline) return;
  if (!term.covered) note(d, 'warn', 'failsafe_engaged', { epoch: term.epoch, candidates: bound.length });
  d.effects.push({ type: 'extended', term: changeTerm(d, { deadline, covered: true }) });
}

function mayExtend(d: Draft): boolean {
  const { phase, term, failsafe } = d.s;
  return (phase === 'leading' || phase === 'yielding') && term?.bound !== undefined && failsafe.stranger === undefined;
}

/**
 * Settles what the renewal about to be sent says. A term that has not begun repeats what it acquired with: a holder
 * before us may still count on nobody else being let in.
 */
export function clauseOfRenewal(d: Draft): Term {
  const term = d.s.term as Term;
  if (d.s.phase === 'guarding') return term;
  const clause = presentClause(d);
  if (clause === undefined || term.bound === undefined) return changeTerm(d, { clause, bound: undefined });
  return changeTerm(d, { clause, bound: [...new Set([...term.bound, ...clause.peers])] });
}

function presentClause(d: Draft): FailsafeClause | undefined {
  const { rules, now } = d;
  const { peers, stranger } = d.s.failsafe;
  if (rules.failsafe === undefined || stranger !== undefined) return undefined;
  const { run, limitMs } = rules.failsafe;
  const present = peers.filter((peer) => now - peer.heardAt < SILENT_CALLS * rules.heartbeatMs);
  const listed = [run, ...present.map((peer) => peer.run)].sort();
  return listed.length > LISTED_MAX ? undefined : { limitMs, peers: listed };
}
