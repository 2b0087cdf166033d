/** Proves that a log can be restored, for people who have its address, and records the proof where everybody finds it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { CanopyError, type Env, messageOf, optionsInvalid, systemEnv } from '@canopy/core';
import { requireCallOptions } from '../database/call-checks.ts';
import { sqliteErrors } from '../errors.ts';
import { wrapFileError } from '../process/system-errors.ts';
import { proveInChild } from '../verify/child.ts';
import { type Verified, writeVerified } from '../verify/record.ts';
import { openLog, parseStore, type StoreOption } from './store-option.ts';
import { unmanagedSpec } from './unmanaged-database.ts';

export interface VerifyOptions {
  /** Where the log is. */
  readonly store: StoreOption;
  /** A directory with room for the whole database; nothing stays in it. Default: the system's for temporary files. */
  readonly scratch?: string | undefined;
  /** Who says so, in the record. Default: the host's name. */
  readonly node?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly env?: Env | undefined;
}

/**
 * Restores the log's end into a scratch file, checks it in full (`integrity_check`), removes it, and notes that in the log;
 * `describeLog`, a status and the schedule of running nodes go by that note. In a process of its own. Throws
 * SQLITE_VERIFY_FAILED when what the log gives is no sound database; SQLITE_LOG_EMPTY, SQLITE_VERIFY_NO_SPACE,
 * SQLITE_STORE_INVALID, BLOB_BUCKET_MISSING, NATS_* and the signal's reason, which prove nothing. Then nothing is noted.
 */
export async function verify(options: VerifyOptions): Promise<Verified> {
  requireCallOptions('verify()', options);
  const { store, scratch = tmpdir(), node = hostname(), env = systemEnv() } = options;
  for (const [field, value] of Object.entries({ scratch, node }))
    if (typeof value !== 'string' || value === '')
      throw optionsInvalid('verify()', [{ field, problem: 'must be a non-empty text' }]);
  const signal = options.signal ?? new AbortController().signal;
  const { label } = parseStore(store);
  const { log, close } = await openLog(store, { env, signal });
  try {
    if ((await log.end({ signal })) === undefined)
      throw sqliteErrors.create('SQLITE_LOG_EMPTY', { bucket: log.bucket });
    const directory = await scratchDirectory(scratch);
    try {
      const spec = unmanagedSpec({ db: label, store, node });
      const proof = await proveInChild(
        { spec: { ...spec, path: label }, scratch: join(directory, 'restored.db') },
        signal,
      );
      const verified = { ...proof, at: env.clock.wall(), node };
      await writeVerified(log.store, verified, signal);
      return verified;
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  } finally {
    await close();
  }
}

async function scratchDirectory(parent: string): Promise<string> {
  try {
    return await mkdtemp(join(parent, 'canopy-verify-'));
  } catch (error) {
    const wrapped = wrapFileError(error, parent);
    if (CanopyError.is(wrapped)) throw wrapped;
    throw sqliteErrors.create('SQLITE_UNWRITABLE', { path: parent, reason: messageOf(error) }, error);
  }
}
