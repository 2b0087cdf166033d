/**
 * What an election shows to its user: the states, the events, and one term of leadership. The names are those of the
 * published interface; the meaning of each reason is documented here and nowhere else.
 */
import type { Epoch } from '@canopy/core';

export type ElectionState = 'init' | 'candidate' | 'leader' | 'follower' | 'demoted' | 'stopped';

/** Why a state was entered. */
export type ElectionReason =
  | 'started'
  | 'acquired'
  | 'lost_race'
  | 'observed_leader'
  | 'vacancy'
  | 'lease_expired'
  | 'conflict'
  | 'key_deleted'
  | 'step_down'
  | 'handoff'
  | 'health_check_failure'
  | 'connection_loss'
  | 'reconnect_verification_failed'
  | 'token_validation_failure'
  | 'warden_lost'
  | 'stop';

/** One term of leadership, from acquisition to loss. */
export interface Leadership {
  readonly group: string;
  readonly instanceId: string;
  /** Constant over the term and higher than that of every earlier term of the group. */
  readonly epoch: Epoch;
  /** Random per term. */
  readonly token: string;
  /**
   * Aborts before anybody else can hold the lease; its reason is a CanopyError that says why. `aborted`, `reason` and
   * `throwIfAborted()` are answers about now, as `isValid()`. Its listeners, and signals that `AbortSignal.any` derives
   * from it, are told by a timer, or by the first look at this one: in a process that was frozen past the deadline they
   * may be late by one turn of the event loop, so look here before what must not happen late.
   */
  readonly signal: AbortSignal;
  /** Monotonic ms at which the lease was acquired. */
  readonly acquiredAt: number;
  /** Monotonic ms until which leadership holds unless renewed; moves forward with each renewal. */
  deadline(): number;
  /** The answer about now, computed from the clock: false from the first call after a freeze past the deadline. */
  isValid(): boolean;
}

export interface ElectionEvent {
  readonly state: ElectionState;
  readonly reason: ElectionReason;
  readonly leaderId: string | undefined;
  /** The present leader's epoch as far as known. */
  readonly epoch: Epoch | undefined;
  /** Monotonic and wall time, ms. */
  readonly at: number;
  readonly wallAt: number;
}

export interface ElectionStatus {
  readonly state: ElectionState;
  readonly isLeader: boolean;
  readonly leaderId: string | undefined;
  readonly epoch: Epoch | undefined;
  readonly token: string | undefined;
  readonly revision: number | undefined;
  /** Monotonic ms of the last acknowledged renewal; undefined when not leader. */
  readonly lastHeartbeat: number | undefined;
  /** Wall ms of the last state change. */
  readonly lastTransition: number;
  /** Ms left on our own lease, 0 when not leader. */
  readonly leaseLeftMs: number;
  /** Leads past its lease, on the promises of all known candidates: the bucket can't be written to. */
  readonly failsafe: boolean;
  readonly connected: boolean;
}

/** What the shell tells the warden; `WardenLease` implements it. */
export interface LeaseWatchdog {
  /**
   * A lease was acquired or renewed: at `deadline` (CLOCK_MONOTONIC ms) without a newer one, fence. Resolves when the
   * warden knows. The first one of a term is awaited before leadership begins. With the term's `token`, a release after
   * a crash also follows a renewal whose answer was never heard.
   */
  hold(lease: { bucket: string; key: string; revision: number; deadline: number; token?: string }): Promise<void>;
  /** The parent has stopped everything itself and gives the lease up (or has lost it): nothing is left to watch. */
  clear(): Promise<void>;
  /** Aborts when the warden can no longer guard (it died and could not be replaced in time). */
  readonly lost: AbortSignal;
}
