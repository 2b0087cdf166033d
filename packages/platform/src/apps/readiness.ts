/**
 * Whether a node could become active now, what it says of itself while it can't, and how long it may try while another
 * could. Pure. Invariant: a node whose database doesn't follow the log in a settled state is never shown as `standby`.
 */
import type { DatabaseStatus } from '@canopy/core';
import type { Member } from '../members/machine.ts';
import type { AppRole } from '../members/record.ts';

/** Waiting for a database that is not settled, while another node could take over. */
export const SHORT_SETTLE_MS = 2000;
/** Becoming primary, while another node could take over. */
export const SHORT_PROMOTE_MS = 20_000;

/** Why the database can't be promoted now; undefined when it can. */
export function databaseObstacle(database: DatabaseStatus | undefined): string | undefined {
  if (database?.role === 'standby') return undefined;
  const { role, problem } = database ?? { role: 'closed', problem: undefined };
  return `the database is ${role}${problem === undefined ? '' : `: ${problem}`}`;
}

/** The role of an app that is in no term. `database` is undefined for an app without one. */
export function idleRole(database: DatabaseStatus | undefined, isFailed: boolean): AppRole {
  if (isFailed) return 'failed';
  switch (database?.role) {
    case undefined:
    case 'standby':
      return 'standby';
    case 'failed':
      return 'failed';
    case 'opening':
    case 'closed':
      return 'starting';
    // Nobody asked for it any more: it is on its way back to following, or about to be sent there.
    case 'promoting':
    case 'primary':
    case 'demoting':
      return 'demoting';
  }
}

/** Whether another node than `self` shows that it could become active at once. */
export function canAnotherTakeOver(app: string, self: string, members: readonly Member[]): boolean {
  return members.some(({ record, health }) => {
    const shown = record.apps[app];
    if (record.id === self || health !== 'alive' || record.cordoned || shown === undefined) return false;
    return shown.role === 'standby' && shown.lagMs !== undefined;
  });
}

/**
 * How long a step may take: `fullMs` while nobody else can take over, else `shortMs`, doubled with each failure in a row,
 * so that a database that needs long on every node gets its time in the end.
 */
export function patienceMs(fullMs: number, shortMs: number, canAnother: boolean, failures: number): number {
  return canAnother ? Math.min(fullMs, shortMs * 2 ** failures) : fullMs;
}
