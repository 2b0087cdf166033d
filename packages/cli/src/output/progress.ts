/** Progress of something that is measured in bytes, as lines for people: how much, how fast, how long still. */
import { formatDuration, systemEnv } from '@canopy/core';
import { formatBytes } from './bytes.ts';
import type { Printer } from './printer.ts';

/** Told at most this often. */
const PROGRESS_MS = 1000;

export interface ByteProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** Unknown in the first moments. */
  readonly bytesPerSecond?: number | undefined;
  readonly leftMs?: number | undefined;
}

export function progressLines(printer: Printer): (progress: ByteProgress) => void {
  const { clock } = systemEnv();
  let toldAt = clock.monotonic();
  return ({ doneBytes, totalBytes, bytesPerSecond, leftMs }) => {
    const now = clock.monotonic();
    if (now - toldAt < PROGRESS_MS || doneBytes === 0) return;
    toldAt = now;
    const rate = bytesPerSecond === undefined ? '' : `, ${formatBytes(bytesPerSecond)}/s`;
    const left = leftMs === undefined ? '' : `, ${formatDuration(leftMs)} left`;
    printer.note(`${formatBytes(doneBytes)} of ${formatBytes(totalBytes)}${rate}${left}`);
  };
}
