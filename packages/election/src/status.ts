/** The status of an election at one moment. Invariant: what the clock says comes before the event that will say so. */
import type { Epoch } from '@canopy/core';
import type { ElectionStatus, Leadership } from './api.ts';
import type { MachineState } from './machine/state.ts';

export interface StatusParts {
  readonly state: MachineState;
  /** The term that has begun and not ended, valid or not. */
  readonly leading: Leadership | undefined;
  /** Monotonic ms. */
  readonly now: number;
  readonly leaderId: string | undefined;
  readonly epoch: Epoch | undefined;
  readonly lastHeartbeat: number | undefined;
  readonly lastTransition: number;
  readonly connected: boolean;
}

export function statusOf(parts: StatusParts): ElectionStatus {
  const { state, leading, now, leaderId, epoch, lastHeartbeat, lastTransition, connected } = parts;
  const { view, term } = state;
  const leaseLeftMs = leading?.isValid() ? Math.max(0, leading.deadline() - now) : 0;
  const isLeader = leaseLeftMs > 0;
  return {
    state: view === 'leader' && !isLeader ? 'demoted' : view,
    isLeader,
    leaderId,
    epoch,
    token: isLeader ? leading?.token : undefined,
    revision: isLeader ? term?.revision : undefined,
    lastHeartbeat: isLeader ? lastHeartbeat : undefined,
    lastTransition,
    leaseLeftMs,
    failsafe: isLeader && term?.covered === true,
    connected,
  };
}
