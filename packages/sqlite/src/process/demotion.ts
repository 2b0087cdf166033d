/**
 * From primary to a closed file: the rest is shipped, the WAL goes into the file, the file becomes a rollback-mode one, in
 * place. Only where all of it is proved to be in the log is it called a standby's; anything else stays a former
 * primary's, and whoever looks next decides what it is.
 */
import { statSync } from 'node:fs';
import { type Env, messageOf, type Position } from '@canopy/core';
import type { Primary } from '../primary/primary.ts';
import { type SettlementDeps, writeStandbyState } from './settlement.ts';
import { readState, writeState } from './state-file.ts';

/** Bound on shipping the rest when the log does not answer. */
const FINISH_MS = 4000;
/** A primary that the log has refused is demoted by the platform; past this bound it leaves the role by itself. */
const REFUSED_MS = 30_000;

/**
 * Whether everything committed is in the log. The primary is closed afterwards in any case. A file that nobody manages stays in WAL mode (see leaveLive). Throws SQLITE_DATABASE_BUSY while another program has the file open.
 */
export async function endPrimary(
  primary: Primary,
  deps: Pick<SettlementDeps, 'env' | 'spec' | 'statePath' | 'boot' | 'log'>,
  onShipped: ((position: Position) => void) | undefined,
): Promise<boolean> {
  if (deps.spec.unmanaged) return leaveLive(primary, deps);
  try {
    const shipped = await primary.finish(FINISH_MS);
    if (shipped) onShipped?.(primary.position);
    const untouched = await primary.leave();
    await primary.close();
    if (shipped && untouched) writeStandbyState(deps, primary.position);
    return shipped && untouched;
  } finally {
    await primary.close();
  }
}

/**
 * Ships the rest and lets go of a file that other programs may go on using in WAL mode. Where all of it is in the log and in
 * the file, that is recorded, so that the next start finds out what was written since instead of sending a full image.
 */
async function leaveLive(
  primary: Primary,
  { env, spec, statePath }: Pick<SettlementDeps, 'env' | 'spec' | 'statePath'>,
): Promise<boolean> {
  let shipped = false;
  try {
    const state = readState(statePath);
    shipped = await primary.finish(FINISH_MS);
    if (!shipped || state?.role !== 'primary') return shipped;
    const { txid, epoch } = primary.position;
    await primary.seal((cursor) => {
      const { size, mtimeNs } = statSync(spec.path, { bigint: true });
      const clean = { txid, epoch, size: Number(size), mtimeNs: String(mtimeNs), cursor };
      writeState(statePath, { ...state, clean }, { flush: true });
    });
  } catch (error) {
    env.log.warn('clean_leave_not_recorded', { reason: messageOf(error) });
  } finally {
    await primary.close();
  }
  return shipped;
}

/** Calls `leave` when nobody has acted on the refusal in time. What fails then is tried by the next who asks. */
export function leaveAfter(env: Env, ms: number | undefined, signal: AbortSignal, leave: () => Promise<void>): void {
  env.clock
    .sleep(ms ?? REFUSED_MS, { signal })
    .then(leave)
    .catch((error: Error) => env.log.debug('primary_not_left', { reason: error.message }));
}
