/** Progress of something that is measured in bytes, as lines for people: how much, how fast, how long still. */
import { formatDuration, systemEnv } from '@canopy/core';
import { formatBytes } from './bytes.ts';
import type { Printer } from './printer.ts';

/** Told at most this often. */
const PROGRESS_MS = 1000;

export interface ByteProgress {
  readonly doneBytes: number;
  readonly totalBytes: number | undefined;
  /** Unknown in the first moments. */
  readonly bytesPerSecond?: number | undefined;
  readonly leftMs?: number | undefined;
}

export function progressLines(printer: Printer): (progress: ByteProgress) => void {
  const { clock } = systemEnv();
  let toldAt = clock.monotonic();
  return (progress) => {
    const now = clock.monotonic();
    if (now - toldAt < PROGRESS_MS || progress.doneBytes === 0) return;
    toldAt = now;
    printer.note(progressText(progress));
  };
}

/** "1.2 GB of 4 GB, 80 MB/s, 35s left"; only what is known. */
export function progressText({ doneBytes, totalBytes, bytesPerSecond, leftMs }: ByteProgress): string {
  const total = totalBytes === undefined ? '' : ` of ${formatBytes(totalBytes)}`;
  const rate = bytesPerSecond === undefined ? '' : `, ${formatBytes(bytesPerSecond)}/s`;
  const left = leftMs === undefined ? '' : `, ${formatDuration(leftMs)} left`;
  return `${formatBytes(doneBytes)}${total}${rate}${left}`;
}
