/**
 * A standby's file from the log alone: newest full image and what follows it, put together beside the old file and then
 * moved into its place together with the state that names it. Whoever calls this has kept what was worth keeping.
 */
import { chmodSync, rmSync, statSync, writeSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { Env, Position } from '@canopy/core';
import type { SegmentLog } from '../log/segment-log.ts';
import { writeState } from '../process/state-file.ts';
import { restore } from '../restore/restore.ts';

/** Bytes 18..19 say the journal mode, 24..27 and 92..95 the change counter. */
const MODE_AT = 18;
const COUNTER_AT = 24;
const COUNTER_COPY_AT = 92;
const FILE_MODE = 0o644;

export interface BootstrapOptions {
  readonly path: string;
  readonly directory: string;
  readonly statePath: string;
  readonly boot: string;
  readonly log: SegmentLog;
  readonly env: Env;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress: (doneBytes: number, totalBytes: number | undefined) => void;
}

/** Resolves with the position that the file at `path` has. An older file there, and what SQLite keeps beside it, is gone. */
export async function bootstrap(options: BootstrapOptions): Promise<Position> {
  const { path, directory, statePath, boot, log, env } = options;
  const made = join(directory, 'bootstrap.db');
  // A counter by chance: no reader that has the old file's pages cached may take the new file for the old one.
  const counter = 1 + env.random.int(2 ** 31);
  const mode = (statSync(path, { throwIfNoEntry: false })?.mode ?? FILE_MODE) & 0o777;
  const { position } = await restore({
    log,
    dest: made,
    overwrite: true,
    env,
    signal: options.signal,
    onProgress: ({ doneBytes, totalBytes }) => options.onProgress(doneBytes, totalBytes),
    prepare: (fd) => stamp(fd, counter),
  });
  chmodSync(made, mode);
  removeDatabase(path);
  const state = {
    role: 'standby',
    from: position,
    to: position,
    counterBefore: counter,
    counterAfter: counter,
  } as const;
  writeState(statePath, { ...state, durable: true, boot }, { flush: true });
  await rename(made, path);
  return position;
}

/** The file with everything that SQLite keeps beside it. Nobody may have it open. */
export function removeDatabase(path: string): void {
  for (const suffix of ['-journal', '-wal', '-shm', '']) rmSync(`${path}${suffix}`, { force: true });
}

function stamp(fd: number, counter: number): void {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(counter);
  writeSync(fd, Uint8Array.of(1, 1), 0, 2, MODE_AT);
  writeSync(fd, bytes, 0, 4, COUNTER_AT);
  writeSync(fd, bytes, 0, 4, COUNTER_COPY_AT);
}
