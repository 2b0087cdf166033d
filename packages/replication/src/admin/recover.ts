/** Follows a recovery on another node to its end. The node is asked again and again: questions that get lost cost nothing. */
import { CanopyError, type Clock, hasCode } from '@canopy/core';
import { replicationErrors } from '../errors.ts';
import type { RecoveryMode, RecoveryReport } from './recovery-run.ts';

const POLL_MS = 500;
/** So many questions in a row without an answer, and it is given up on. */
const SILENT_MAX = 15;

export interface RecoverOptions {
  /** Default: rebuild where the node can, else resync. */
  readonly mode?: RecoveryMode | undefined;
  /** Of a rebuilding: also what only this node may have goes, such as writes that could not be sent. Default false. */
  readonly discard?: boolean | undefined;
  readonly onProgress?: (report: RecoveryReport) => void;
  /** Ends the watching, not the recovery. */
  readonly signal?: AbortSignal | undefined;
}

export async function watchRecovery(
  node: string,
  ask: (op: 'recover' | 'recovery', fields: object) => Promise<RecoveryReport>,
  { mode, discard, onProgress = () => {}, signal }: RecoverOptions,
  clock: Clock,
): Promise<RecoveryReport> {
  let report = await ask('recover', {
    ...(mode === undefined ? {} : { mode }),
    ...(discard === true ? { discard } : {}),
  });
  const { run } = report;
  let silent = 0;
  for (;;) {
    onProgress(report);
    if (report.run !== run || report.state === 'none') throw failed(node, 'the node was started anew meanwhile');
    if (report.state === 'done') return report;
    if (report.state === 'failed') throw failed(node, report.error?.message ?? 'it does not say why', report.error);
    await clock.sleep(POLL_MS, { signal });
    try {
      report = await ask('recovery', {});
      silent = 0;
    } catch (error) {
      signal?.throwIfAborted();
      silent += 1;
      if (!hasCode(error, 'REPLICATION_NODE_SILENT', 'REPLICATION_ADMIN_BUSY') || silent >= SILENT_MAX) throw error;
    }
  }
}

function failed(node: string, problem: string, cause?: RecoveryReport['error']): CanopyError {
  const fields = { node, problem };
  return replicationErrors.create('RECOVERY_FAILED', fields, cause && CanopyError.fromJSON(cause));
}
