/**
 * The protocol: one pure step from a state by an event at a moment. No I/O, no clock: the shell performs the effects and
 * feeds back what came of them. At most one request is under way, answers to forgotten requests are ignored, and a
 * deadline that has passed is noticed before the event that came after it is looked at.
 */

import { backoffMs } from '@canopy/core';
import type { FailsafeMessage } from '../failsafe/message.ts';
import { onAnswer } from './covering.ts';
import { type Draft, recover, sendRead, show } from './draft.ts';
import {
  advanceHolding,
  holdingDueAt,
  isHolding,
  lose,
  onGuarded,
  onHoldingRead,
  onHoldingSighting,
  onRenewed,
  onRenewRefused,
  onRenewUnknown,
  onUnguardable,
  verifySoon,
} from './holding.ts';
import {
  advanceReleasing,
  onDemoted,
  onLeave,
  onReleased,
  onReleaseUnknown,
  onReleasingRead,
  releasingDueAt,
  settle,
} from './leaving.ts';
import { observe } from './observing.ts';
import { onCall } from './promising.ts';
import {
  advanceStanding,
  onAcquired,
  onAcquireRefused,
  onAcquireUnknown,
  onStandingRead,
  standingDueAt,
} from './standing.ts';
import type { Effect, Flight, MachineEvent, MachineState, Rules, Term } from './state.ts';

export interface StepResult {
  readonly state: MachineState;
  readonly effects: readonly Effect[];
}

export function step(rules: Rules, state: MachineState, event: MachineEvent, now: number): StepResult {
  const d: Draft = { rules, now, s: { ...state }, effects: [] };
  if (isHolding(d.s) && now >= (d.s.term as Term).deadline) lose(d, 'lease_expired');
  take(d, event);
  advance(d);
  return { state: d.s, effects: d.effects };
}

/** When the machine wants its next `tick`, or undefined when only an event can move it. */
export function wakeAt(rules: Rules, s: MachineState): number | undefined {
  const at = isHolding(s)
    ? holdingDueAt(rules, s)
    : s.phase === 'releasing'
      ? releasingDueAt(s)
      : s.phase === 'standing'
        ? standingDueAt(rules, s)
        : undefined;
  return at === undefined || at === Number.POSITIVE_INFINITY ? undefined : at;
}

function advance(d: Draft): void {
  if (isHolding(d.s)) advanceHolding(d);
  if (d.s.phase === 'releasing') advanceReleasing(d);
  if (d.s.phase === 'standing') advanceStanding(d);
}

function take(d: Draft, event: MachineEvent): void {
  const { s } = d;
  switch (event.type) {
    case 'start':
      if (s.phase !== 'idle') return;
      s.phase = 'standing';
      show(d, 'candidate', 'started', undefined);
      sendRead(d);
      return;
    case 'tick':
      return;
    case 'suspended':
      onSuspended(d);
      return;
    case 'sighted':
      if (isHolding(s)) {
        onHoldingSighting(d, event.sighting);
        return;
      }
      observe(d, event.sighting);
      return;
    case 'interrupted':
      s.stale = true;
      s.blind = true;
      return;
    case 'synced':
      s.blind = false;
      return;
    case 'guarded':
      if (s.phase === 'guarding' && s.term?.token === event.token) onGuarded(d);
      return;
    case 'unguardable':
      if (s.phase === 'guarding' && s.term?.token === event.token) onUnguardable(d);
      return;
    case 'demoted':
      onDemoted(d, event.token, event.clean);
      return;
    case 'floor':
      s.epochFloor = Math.max(s.epochFloor, event.epoch);
      return;
    case 'heard':
      onHeard(d, event.message);
      return;
    case 'connected':
      onConnected(d);
      return;
    case 'disconnected':
      s.disconnectedAt ??= d.now;
      return;
    case 'leave':
      onLeave(d, event);
      return;
    case 'abandoned':
      s.phase = 'stopped';
      show(d, 'stopped', 'stop', undefined);
      return;
    default:
      takeAnswer(d, event);
      return;
  }
}

/** No time that was counted before it means anything: neither a lease nor what a request that is under way would bring. */
function onSuspended(d: Draft): void {
  const { s } = d;
  s.ownUntil = Number.NEGATIVE_INFINITY;
  if (isHolding(s)) {
    lose(d, 'lease_expired');
    return;
  }
  if (s.phase === 'releasing') {
    settle(d);
    return;
  }
  const { flight } = s;
  if (flight === undefined) return;
  s.flight = undefined;
  s.stale = true;
  // Unheard, as if its answer had been lost.
  if (flight.kind === 'acquire' && s.leaving !== undefined) settle(d);
}

function onHeard(d: Draft, message: FailsafeMessage): void {
  if (message.type === 'call') onCall(d, message);
  else onAnswer(d, message);
}

function onConnected(d: Draft): void {
  const { s } = d;
  if (s.disconnectedAt === undefined) return;
  s.disconnectedAt = undefined;
  recover(d);
  if (isHolding(s)) verifySoon(d);
}

type Answer = Extract<MachineEvent, { op: number }>;

/** An answer to the request under way; any other is too late to matter. */
function takeAnswer(d: Draft, event: Answer): void {
  const { s } = d;
  const { flight } = s;
  if (flight === undefined || flight.op !== event.op) return;
  s.flight = undefined;
  switch (flight.kind) {
    case 'acquire':
      takeAcquireAnswer(d, flight, event);
      return;
    case 'renew':
      takeRenewAnswer(d, flight, event);
      return;
    case 'release':
      if (event.type === 'written') onReleased(d, event.revision);
      else onReleaseUnknown(d, event.type === 'conflict');
      return;
    case 'read':
      takeReadAnswer(d, flight, event);
      return;
  }
}

function takeAcquireAnswer(d: Draft, flight: Flight, event: Answer): void {
  if (event.type === 'written') {
    onAcquired(d, flight, event.revision);
    return;
  }
  if (event.type === 'conflict') onAcquireRefused(d);
  else onAcquireUnknown(d);
  // Leaving with an attempt that may have landed: nobody reads it back for us, so its lease runs out by itself.
  if (d.s.leaving !== undefined) settle(d);
}

function takeRenewAnswer(d: Draft, flight: Flight, event: Answer): void {
  if (d.s.phase === 'releasing') {
    // The hooks ended while this renewal was under way.
    if (event.type === 'written') d.s.term = { ...(d.s.term as Term), revision: event.revision };
    else onReleaseUnknown(d, event.type === 'conflict');
    return;
  }
  if (event.type === 'written') onRenewed(d, flight, event.revision);
  else if (event.type === 'conflict') onRenewRefused(d);
  else onRenewUnknown(d);
}

function takeReadAnswer(d: Draft, flight: Flight, event: Answer): void {
  const { s } = d;
  if (event.type !== 'read') {
    if (isHolding(s)) onRenewUnknown(d);
    else if (s.phase === 'releasing') onReleaseUnknown(d, false);
    else {
      s.stale = true;
      onReadFailed(d);
    }
    return;
  }
  if (isHolding(s)) onHoldingRead(d, event.sighting, flight.sentAt);
  else if (s.phase === 'releasing') onReleasingRead(d, event.sighting, flight.sentAt);
  else onStandingRead(d, event.sighting, flight.sentAt);
}

function onReadFailed(d: Draft): void {
  const maxMs = Math.max(50, d.rules.heartbeatMs);
  d.s.retryAt = d.now + backoffMs(d.s.failures, { initialMs: 50, maxMs }, d.rules.random);
  d.s.failures += 1;
}
