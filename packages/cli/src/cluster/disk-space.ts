/** How full the file system of a directory is. */
import { statfsSync } from 'node:fs';

export interface DiskSpace {
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** 0..1. */
  readonly used: number;
  /** Too little for NATS and SQLite to go on. */
  readonly full: boolean;
}

/** Below this, the next file that somebody extends is refused. */
const FULL_BYTES = 1_000_000;

/** Undefined when it can't be told (no such directory). */
export function diskSpace(directory: string): DiskSpace | undefined {
  try {
    const { bsize, blocks, bavail } = statfsSync(directory);
    const freeBytes = bavail * bsize;
    const used = blocks === 0 ? 0 : 1 - bavail / blocks;
    return { freeBytes, totalBytes: blocks * bsize, used, full: blocks > 0 && freeBytes < FULL_BYTES };
  } catch {
    return undefined;
  }
}
