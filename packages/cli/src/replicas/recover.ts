/** `canopy replication recover NODE`: the node does it, this only asks and shows. ctrl-C and --timeout end the showing. */
import { formatDuration, systemEnv } from '@canopy/core';
import type { RecoveryMode, RecoveryReport } from '@canopy/replication';
import { undisturbed } from '../commands/undisturbed.ts';
import { EXIT } from '../exit-codes.ts';
import type { Printer } from '../output/printer.ts';
import { type NamespaceOptions, rateText, withAdmin } from './asking.ts';

/** Told at most this often. */
const TELL_MS = 1000;

export interface RecoverNodeOptions extends NamespaceOptions {
  readonly mode?: RecoveryMode | undefined;
  readonly discard?: boolean | undefined;
}

export async function recoverNode(node: string, options: RecoverNodeOptions, printer: Printer): Promise<number> {
  const { clock } = systemEnv();
  let toldAt = Number.NEGATIVE_INFINITY;
  const onProgress = (report: RecoveryReport): void => {
    const now = clock.monotonic();
    if (report.state !== 'running' || now - toldAt < TELL_MS) return;
    toldAt = now;
    printer.note(`${node}: ${reportText(report)}`);
  };
  const what = { what: `the recovery of ${node}`, left: `${node} goes on with it`, bound: options };
  // Here --timeout bounds the whole; a single question has the usual time.
  const asking = { ...options, isTimeoutGiven: false };
  return undisturbed(what, (signal) =>
    withAdmin(asking, async (admin) => {
      const report = await admin.recover(node, { mode: options.mode, discard: options.discard, onProgress, signal });
      const { mode, ms } = report;
      const done = mode === 'rebuild' ? 'rebuilt' : 'read again what it missed';
      printer.result({ node, mode, ms }, () => `${node}: ${done}, in ${formatDuration(ms)}`);
      return EXIT.ok;
    }),
  );
}

export function reportText({ mode, ms, progress }: RecoveryReport): string {
  const doing = mode === 'rebuild' ? 'rebuilding' : 'reading again what it missed';
  const far = progress === undefined || progress.phase === 'none' ? 'how far can not be told' : progressText(progress);
  return `${doing} for ${formatDuration(ms)}: ${far}`;
}

/** "snapshot 66 % (801 of 1204), 1200/s, 3.1s left"; only what is known. */
export function progressText(progress: NonNullable<RecoveryReport['progress']>): string {
  const { phase, percent, done, total, perSecond, leftMs } = progress;
  const rate = perSecond === undefined ? '' : `, ${rateText(perSecond)}`;
  const left = leftMs === undefined ? '' : `, ${formatDuration(leftMs)} left`;
  return `${phase} ${Math.floor(percent)} % (${done} of ${total})${rate}${left}`;
}
