/** Leaving a term: on request, and why the election ended one, as the role machine wants to know it. */
import { type CanopyError, type Clock, hasCode, messageOf } from '@canopy/core';
import type { Leadership } from '@canopy/election';
import { platformErrors } from '../errors.ts';
import type { Candidacy } from './candidacy.ts';
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

/** Has the leader leave by `go`. APP_NOT_ACTIVE when this node does not lead (any more). */
export async function leave(
  app: string,
  node: string,
  candidacy: Candidacy | undefined,
  go: (candidacy: Candidacy) => Promise<void>,
): Promise<void> {
  if (candidacy?.leadership === undefined) throw platformErrors.create('APP_NOT_ACTIVE', { app, node });
  try {
    await go(candidacy);
  } catch (error) {
    throw hasCode(error, 'ELECTION_NOT_LEADER') ? platformErrors.create('APP_NOT_ACTIVE', { app, node }) : error;
  }
}
