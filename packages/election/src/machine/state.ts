/**
 * The vocabulary of the protocol: what the machine knows, what it is told, and what it asks for. Everything here is
 * plain data. All times are milliseconds of this node's own monotonic clock.
 */
import type { Random } from '@canopy/core';
import type { ElectionReason, ElectionState } from '../api.ts';
import type { FailsafeMessage } from '../failsafe/message.ts';
import type { FailsafeClause, LeaseValue } from '../lease/lease-value.ts';
import type { Sighting } from '../lease/sighting.ts';

/** Constants of one election; see `resolveElectionOptions` for how they follow from the options. */
export interface Rules {
  readonly instanceId: string;
  readonly priority: number;
  readonly allowPriorityTakeover: boolean;
  readonly ttlMs: number;
  /** Taken off the holder's own lease; covers clock rates and gives work time to stop. */
  readonly marginMs: number;
  readonly heartbeatMs: number;
  /** Renewals fall on multiples of it, a little early, so that those of many groups go out together. Default 0: they don't. */
  readonly beatGridMs?: number;
  /** Others of higher priority may preempt this node's leases. */
  readonly preemptible: boolean;
  /** After the end of an own term: no preempting for this long, so that two nodes don't take turns. */
  readonly takeoverCooldownMs: number;
  /** How long to lead without a connection; the lease's own deadline may come first. */
  readonly graceMs: number;
  /** A candidate waits a random part of this before it writes. */
  readonly jitterMs: number;
  /** How long those who are not named keep away from a lease that was handed to somebody. */
  readonly handoffWaitMs: number;
  /** Rest after a step-down before standing again. */
  readonly holdOffMs: number;
  /** Epochs of this node's terms lie above it. */
  readonly epochFloor: number;
  /** Whether this node takes part in failsafe. */
  readonly failsafe?: FailsafeRules | undefined;
  readonly random: Random;
}

export interface FailsafeRules {
  /** Random per process: a promise binds one run, and a restarted candidate is another. */
  readonly run: string;
  /** How far past its last acknowledged write a holder may lead, its margin included. */
  readonly limitMs: number;
}

/**
 * idle: before start. standing: somebody else leads, or nobody. guarding: the lease is held but leadership has not begun
 * (the watchdog does not know yet, or a preempted holder may still act). leading. yielding: leadership ended on
 * purpose, the lease is kept while hooks run. releasing: the lease is being given back. stopped.
 */
export type Phase = 'idle' | 'standing' | 'guarding' | 'leading' | 'yielding' | 'releasing' | 'stopped';

/** What is known of the key. `since` is when this revision was first seen here: the start of every expiry. */
export interface Observation {
  /** `vacant`: create; `released` (also an empty value): update at the revision; `held`: update after expiry. */
  readonly kind: 'unknown' | 'vacant' | 'released' | 'held';
  readonly revision: number;
  /** Of the sighting; undefined for a write of our own. */
  readonly stamp?: number | undefined;
  readonly lease: LeaseValue | undefined;
  readonly since: number;
  /** Vanished without a deletion (expired on the server): the holder may still be within its lease. */
  readonly gone: boolean;
  /** This node's share of the jitter for this observation, 0..1. */
  readonly jitter: number;
}

/** A lease that we hold, from the acquiring write on. */
export interface Term {
  readonly token: string;
  readonly epoch: number;
  readonly revision: number;
  /** When the acquiring write was sent. */
  readonly acquiredAt: number;
  /** Past it we are not leader, whatever else is true. */
  readonly deadline: number;
  /** A preempted holder may act until then. */
  readonly notBefore: number;
  /** Whether the watchdog knows; it is asked only when the term could begin, so that it never frees a barred lease. */
  readonly guard: 'none' | 'asked' | 'known';
  readonly renewAt: number;
  /** A write of ours may have landed unheard of: read before the next one. */
  readonly doubt: boolean;
  /** A conflict while verifying is told apart from others. */
  readonly verifying: boolean;
  /** When the last acknowledged write was sent: the start of what failsafe may add. */
  readonly writtenAt: number;
  /** The clause in the last write that was sent. */
  readonly clause: FailsafeClause | undefined;
  /**
   * Everybody listed by any of our writes that may be under the key; undefined when one of those had no clause, so that
   * others need not wait and failsafe is out of the question.
   */
  readonly bound: readonly string[] | undefined;
  /** The deadline rests on promises and not on the bucket. */
  readonly covered: boolean;
}

/** The one request that may be under way. */
export interface Flight {
  readonly op: number;
  readonly kind: 'acquire' | 'renew' | 'release' | 'read';
  /** When it was sent; of an acquiring write that follows a look, when the look was. */
  readonly sentAt: number;
  readonly token: string;
  /** The epoch floor that an acquiring write carries. */
  readonly floor: number;
  /** The clause that an acquiring write carries. */
  readonly clause?: FailsafeClause | undefined;
}

/** Another candidate, as far as it has answered. All times are this node's own. */
export interface Peer {
  readonly run: string;
  readonly id: string;
  readonly heardAt: number;
  /** When the latest of our calls was *sent* that it answered with a promise. */
  readonly promisedFrom: number | undefined;
}

/** A call to all candidates that answers may still come to. */
export interface Round {
  readonly round: number;
  readonly sentAt: number;
  readonly asked: boolean;
}

/** What failsafe knows, on either side. */
export interface FailsafeState {
  /** No term of this run begins before it, and nothing is written to take the lease: our own promises. */
  readonly promisedUntil: number;
  readonly peers: readonly Peer[];
  readonly rounds: readonly Round[];
  /** Number of the last round; never used twice in a run. */
  readonly round: number;
  readonly calledAt: number;
  /** A leader that knows nothing of failsafe: while one may be about, it stays off. */
  readonly stranger: string | undefined;
}

/** A departure on purpose that is under way. */
export interface Leaving {
  readonly reason: ElectionReason;
  readonly holdOffMs: number;
  readonly next: string | undefined;
  /** Leave the key to expire by itself. */
  readonly keepKey: boolean;
  /** Ends in `stopped` instead of standing again. */
  readonly final: boolean;
}

export interface MachineState {
  readonly phase: Phase;
  /** The published state. */
  readonly view: ElectionState;
  readonly leaderId: string | undefined;
  readonly observed: Observation;
  readonly term: Term | undefined;
  readonly flight: Flight | undefined;
  readonly ops: number;
  /** The token that this node wrote last: a lease that carries it outside a term is ours to take at once. */
  readonly ownToken: string | undefined;
  /** Where revisions may repeat, what carries that token from here on may have replaced a lease that we never saw. */
  readonly ownUntil: number;
  /** Requests that failed in a row, for the backoff. */
  readonly failures: number;
  readonly retryAt: number;
  readonly holdOffUntil: number;
  /** No term may begin before it: the end of a lease that we preempted. */
  readonly barredUntil: number;
  /** Nobody is preempted before it: the cooldown after an own term. */
  readonly preemptAfter: number;
  /** Hooks of an ended term (this token) still run. */
  readonly demoting: string | undefined;
  readonly leaving: Leaving | undefined;
  readonly releaseTries: number;
  /** The term (its token) of the last planned departure, when its lease was left to run out instead of being released. */
  readonly unreleased: string | undefined;
  readonly disconnectedAt: number | undefined;
  /** The watch was interrupted, or a write has an unknown outcome: read before writing. */
  readonly stale: boolean;
  /** The watch tells nothing at present: poll. */
  readonly blind: boolean;
  readonly polledAt: number;
  readonly raced: boolean;
  readonly epochFloor: number;
  readonly failsafe: FailsafeState;
}

export type MachineEvent =
  | { readonly type: 'start' }
  | { readonly type: 'tick' }
  /** The machine slept without the monotonic clock noticing: a lease held before may have ended. */
  | { readonly type: 'suspended' }
  /** From the watch. */
  | { readonly type: 'sighted'; readonly sighting: Sighting }
  | { readonly type: 'interrupted' }
  /** The watch has listed what is there and is live. */
  | { readonly type: 'synced' }
  | { readonly type: 'read'; readonly op: number; readonly sighting: Sighting | undefined }
  | { readonly type: 'written'; readonly op: number; readonly revision: number }
  | { readonly type: 'conflict'; readonly op: number }
  /** The outcome is unknown. */
  | { readonly type: 'failed'; readonly op: number }
  | { readonly type: 'guarded'; readonly token: string }
  | { readonly type: 'unguardable'; readonly token: string }
  /** The hooks of the term have ended; `clean` when everything under it has certainly stopped. */
  | { readonly type: 'demoted'; readonly token: string; readonly clean: boolean }
  /** Epochs up to this one are used up, as a record outside of the key says. */
  | { readonly type: 'floor'; readonly epoch: number }
  /** A message of another candidate. */
  | { readonly type: 'heard'; readonly message: FailsafeMessage }
  /** The bound on a stop has passed: whatever is under way is left to itself. */
  | { readonly type: 'abandoned' }
  | { readonly type: 'connected' }
  | { readonly type: 'disconnected' }
  | ({ readonly type: 'leave' } & Leaving);

export type Effect =
  | { readonly type: 'read'; readonly op: number }
  | { readonly type: 'create'; readonly op: number; readonly lease: LeaseValue }
  | { readonly type: 'update'; readonly op: number; readonly lease: LeaseValue; readonly revision: number }
  | { readonly type: 'delete'; readonly op: number; readonly revision: number }
  /** The lease is held: tell the watchdog, then answer `guarded` or `unguardable`. */
  | { readonly type: 'guard'; readonly term: Term }
  | { readonly type: 'promote'; readonly term: Term }
  | { readonly type: 'renewed'; readonly term: Term; readonly tookMs: number }
  /** The deadline moved by the promises of all candidates, without the bucket. */
  | { readonly type: 'extended'; readonly term: Term }
  /** Send to the other candidates: calls to all, answers to the caller. May be lost. */
  | { readonly type: 'tell'; readonly message: FailsafeMessage }
  /** Abort the signal now, run the hooks, answer `demoted`. */
  | { readonly type: 'demote'; readonly token: string; readonly reason: ElectionReason; readonly planned: boolean }
  /** A guarded lease is given up or lost and nothing runs under it: the watchdog may forget it. */
  | { readonly type: 'clear' }
  | { readonly type: 'changed'; readonly from: ElectionState; readonly reason: ElectionReason }
  | { readonly type: 'note'; readonly level: 'debug' | 'warn' | 'info'; readonly event: string; readonly facts: Facts }
  | { readonly type: 'count'; readonly what: 'acquired' | 'acquire_failed' | 'renew_failed' | 'lease_lost' };

export type Facts = Readonly<Record<string, string | number | boolean | undefined>>;

const NOTHING: Observation = {
  kind: 'unknown',
  revision: -1,
  lease: undefined,
  since: 0,
  gone: false,
  jitter: 0,
};

export function initialState(rules: Rules): MachineState {
  return {
    phase: 'idle',
    view: 'init',
    leaderId: undefined,
    observed: NOTHING,
    term: undefined,
    flight: undefined,
    ops: 0,
    ownToken: undefined,
    ownUntil: Number.NEGATIVE_INFINITY,
    failures: 0,
    retryAt: 0,
    holdOffUntil: 0,
    barredUntil: 0,
    preemptAfter: 0,
    demoting: undefined,
    leaving: undefined,
    releaseTries: 0,
    unreleased: undefined,
    disconnectedAt: undefined,
    stale: false,
    blind: false,
    polledAt: 0,
    raced: false,
    epochFloor: rules.epochFloor,
    failsafe: {
      promisedUntil: Number.NEGATIVE_INFINITY,
      peers: [],
      rounds: [],
      round: 0,
      calledAt: Number.NEGATIVE_INFINITY,
      stranger: undefined,
    },
  };
}
