/** Why the election ended a term, as the role machine wants to know it. */
import { type CanopyError, type Clock, messageOf } from '@canopy/core';
import type { Leadership } from '@canopy/election';
import type { Fall } from './role-machine.ts';

/** Departures on purpose: the lease is renewed until everything of the term has ended. */
const PLANNED: ReadonlySet<string> = new Set(['step_down', 'handoff', 'stop']);

export function departure(leadership: Leadership, reason: string, clock: Clock): Fall {
  const leaseHeld = PLANNED.has(reason) && clock.monotonic() < leadership.deadline();
  return { reason, leaseHeld, isFailure: false };
}

/** The election's reason, from the error that a term's signal aborts with. */
export function reasonOf(signal: AbortSignal): string {
  const { reason } = signal as { reason: CanopyError };
  return typeof reason?.fields?.['reason'] === 'string' ? reason.fields['reason'] : messageOf(reason);
}
