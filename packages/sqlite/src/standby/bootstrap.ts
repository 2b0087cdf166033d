/**
 * A standby's file from the log alone: newest full image and what follows it, put together beside the old file and then
 * moved into its place together with the state that names it. Whoever calls this has kept what was worth keeping.
 */
import { chmodSync, existsSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Env, Position } from '@canopy/core';
import type { SegmentLog } from '../log/segment-log.ts';
import { readHeaderOf } from '../process/local-file.ts';
import { knownLog } from '../process/log-identity.ts';
import { flushDirectory, readState, writeState } from '../process/state-file.ts';
import { type RestoreProgress, restore } from '../restore/restore.ts';

/** Bytes 18..19 say the journal mode, 24..27 and 92..95 the change counter. */
const MODE_AT = 18;
const COUNTER_AT = 24;
const COUNTER_COPY_AT = 92;
const FILE_MODE = 0o644;
const SIDE_FILES = ['-journal', '-wal', '-shm'] as const;

export interface BootstrapOptions {
  readonly path: string;
  readonly directory: string;
  readonly statePath: string;
  readonly boot: string;
  readonly log: SegmentLog;
  readonly env: Env;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress: (progress: RestoreProgress) => void;
}

/**
 * Resolves with the position that the file at `path` has. An older file there, and what SQLite keeps beside it, is moved
 * aside only when the new one is complete, and is gone when that is in its place.
 */
export async function bootstrap(options: BootstrapOptions): Promise<Position> {
  const { path, directory, statePath, boot, log, env } = options;
  const made = join(directory, 'bootstrap.db');
  // A counter by chance: no reader that has the old file's pages cached may take the new file for the old one.
  const counter = 1 + env.random.int(2 ** 31);
  const mode = (statSync(path, { throwIfNoEntry: false })?.mode ?? FILE_MODE) & 0o777;
  const { position, entry } = await restore({
    log,
    dest: made,
    overwrite: true,
    isResumable: true,
    env,
    signal: options.signal,
    onProgress: options.onProgress,
    prepare: (fd) => stamp(fd, counter),
  });
  // What it was made from is what it follows.
  if (entry.logId !== undefined) log.hold(entry.logId);
  chmodSync(made, mode);
  const aside = asideOf(directory);
  moveAside(path, aside);
  const state = {
    role: 'standby',
    from: position,
    to: position,
    counterBefore: counter,
    counterAfter: counter,
    ...knownLog(log),
  } as const;
  writeState(statePath, { ...state, durable: true, boot }, { flush: true });
  await rename(made, path);
  flushDirectory(dirname(path));
  removeDatabase(aside);
  return position;
}

/**
 * After a crash between the two renames: the old file is back at its path, if it is still the one that the state describes.
 * What another state describes was replaced for good.
 */
export function putBack(path: string, directory: string, statePath: string): void {
  const aside = asideOf(directory);
  const state = readState(statePath);
  if (existsSync(path) || !existsSync(aside) || state?.role !== 'standby') return;
  const counter = readHeaderOf(aside)?.counter;
  if (counter !== state.counterBefore && counter !== state.counterAfter) return;
  for (const suffix of [...SIDE_FILES, '']) moveIfThere(`${aside}${suffix}`, `${path}${suffix}`);
}

function asideOf(directory: string): string {
  return join(directory, 'replaced.db');
}

/** The database goes first and comes back last: at its path it is never without the journal that it needs. */
function moveAside(path: string, aside: string): void {
  removeDatabase(aside);
  for (const suffix of ['', ...SIDE_FILES]) moveIfThere(`${path}${suffix}`, `${aside}${suffix}`);
}

function moveIfThere(from: string, to: string): void {
  if (existsSync(from)) renameSync(from, to);
}

/** The file with everything that SQLite keeps beside it. Nobody may have it open. */
export function removeDatabase(path: string): void {
  for (const suffix of [...SIDE_FILES, '']) rmSync(`${path}${suffix}`, { force: true });
}

function stamp(fd: number, counter: number): void {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(counter);
  writeSync(fd, Uint8Array.of(1, 1), 0, 2, MODE_AT);
  writeSync(fd, bytes, 0, 4, COUNTER_AT);
  writeSync(fd, bytes, 0, 4, COUNTER_COPY_AT);
}
