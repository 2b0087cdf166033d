/**
 * One proof: the log restored into a scratch file beside the database, checked in full, and removed. Runs in a process of
 * its own (program.ts), because the check reads the whole file in one go.
 */
import { rm, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Env, hasCode, messageOf, type Position } from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import type { LogEntry } from '../log/names.ts';
import { planRestore } from '../restore/plan.ts';
import { type RestoreSource, restore } from '../restore/restore.ts';

/** Free space that is left to the database at least. */
const RESERVE_BYTES = 64 * 1024 * 1024;
const METHOD = 'full';
/** The log can't be seen or has nothing: that proves nothing about it. */
const NOT_PROOFS = [
  'SQLITE_LOG_EMPTY',
  'BLOB_GONE',
  'SQLITE_DISK_FULL',
  'SQLITE_VERIFY_NO_SPACE',
  'NATS_UNREACHABLE',
  'NATS_CLOSED',
  'NATS_PERMISSION',
  'JETSTREAM_UNAVAILABLE',
  'DEADLINE_EXCEEDED',
] as const;

export interface ProofOptions {
  readonly log: RestoreSource;
  /** The database, for messages. */
  readonly path: string;
  /** Where the restored file is put meanwhile, on the disk of the database. */
  readonly scratch: string;
  readonly env: Env;
  readonly signal?: AbortSignal | undefined;
}

export interface Proof {
  readonly position: Position;
  readonly method: string;
  /** Of the restored database. */
  readonly bytes: number;
  readonly ms: number;
}

/**
 * Throws SQLITE_VERIFY_FAILED when what the log gives is no sound database, SQLITE_VERIFY_NO_SPACE before anything is
 * written, and what keeps one from looking (SQLITE_LOG_EMPTY, NATS_UNREACHABLE, SQLITE_DISK_FULL).
 */
export async function proveRestore(options: ProofOptions): Promise<Proof> {
  const { log, scratch, env, signal } = options;
  const started = env.clock.monotonic();
  try {
    const plan = planRestore(log.bucket, await log.all({ signal }));
    await requireSpace(options, plan.at(-1) as LogEntry);
    const done = await restore({ log, dest: scratch, overwrite: true, check: METHOD, env, signal });
    const ms = Math.round(env.clock.monotonic() - started);
    return { position: done.position, method: METHOD, bytes: done.commit * done.pageSize, ms };
  } catch (error) {
    signal?.throwIfAborted();
    if (hasCode(error, ...NOT_PROOFS)) throw error;
    throw sqliteErrors.create('SQLITE_VERIFY_FAILED', { bucket: log.bucket, problem: messageOf(error) }, error);
  } finally {
    await rm(scratch, { force: true });
  }
}

async function requireSpace({ log, path, scratch, signal }: ProofOptions, last: LogEntry): Promise<void> {
  const opened = await log.open(last.name, { signal });
  if (opened === undefined) return;
  const { commit, pageSize } = opened.stream.header;
  await opened.stream.close();
  const { bavail, bsize } = await statfs(dirname(scratch));
  const needed = commit * pageSize + RESERVE_BYTES;
  const free = bavail * bsize;
  if (free < needed) throw sqliteErrors.create('SQLITE_VERIFY_NO_SPACE', { path, needed, free });
}
