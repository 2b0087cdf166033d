/**
 * Hears of a successor without writing: whoever has a higher epoch in the log has it. What goes wrong here is no reason to
 * stop, since the next append asks too; a log that has lost its past is.
 */
import { type CanopyError, type Env, type Epoch, hasCode, messageOf } from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import type { LogEntry } from '../log/names.ts';
import type { SegmentLog } from '../log/segment-log.ts';

const AGAIN_MS = 2000;
/** The watch proves by itself that it lives, and each append asks too: many idle databases need not ask all the time. */
const PROBE_MAX_MS = 16_000;

export interface SuccessorDeps {
  readonly log: SegmentLog;
  readonly epoch: Epoch;
  readonly env: Env;
  /** The last transaction of ours that is in the log. */
  after(): number;
  onSuccessor(entry: LogEntry): void;
}

/** Until there is one, or the signal aborts. Throws SQLITE_LOG_LOST. */
export async function hearOfSuccessor(deps: SuccessorDeps, signal: AbortSignal): Promise<void> {
  const { log, epoch, env, after, onSuccessor } = deps;
  while (!signal.aborted) {
    try {
      for await (const entry of log.follow(after(), { signal, probeMaxMs: PROBE_MAX_MS })) {
        if (entry.epoch > epoch) return onSuccessor(entry);
      }
    } catch (error) {
      if (hasCode(error, 'SQLITE_LOG_LOST')) throw error;
      // What followed our last entry was trimmed already: whoever did that has written for long.
      const end = hasCode(error, 'SQLITE_LOG_GAP') ? await endOf(log, signal) : undefined;
      if (end !== undefined && end.epoch > epoch) return onSuccessor(end);
      env.log.warn('log_not_followed', { reason: messageOf(error) });
    }
    // An abort is the end, and no failure.
    await env.clock.sleep(AGAIN_MS, { signal }).catch(() => {});
  }
}

/** What ends the primary that is told of one. */
export function fencedBy(
  { log, epoch, node }: { readonly log: SegmentLog; readonly epoch: Epoch; readonly node: string },
  taken: { readonly epoch: Epoch; readonly txid: number },
): CanopyError {
  const { txid, epoch: takenEpoch } = taken;
  const takenNode = 'another node';
  return sqliteErrors.create('SQLITE_FENCED', { bucket: log.bucket, txid, epoch, node, takenEpoch, takenNode });
}

async function endOf(log: SegmentLog, signal: AbortSignal): Promise<LogEntry | undefined> {
  try {
    return await log.listEnd({ signal });
  } catch {
    return undefined;
  }
}
