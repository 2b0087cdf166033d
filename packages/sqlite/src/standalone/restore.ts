/** `restore` for people who have an address of a log rather than a log. */
import { resolve } from 'node:path';
import { requirePlace } from '../restore/destination.ts';
import { requireRestoreOptions } from '../restore/options.ts';
import { type RestoreOptions as LogRestoreOptions, type Restored, restore as restoreLog } from '../restore/restore.ts';
import { requireUnused } from '../restore/unused-file.ts';
import { openLog, type StoreOption } from './store-option.ts';

export type RestoreOptions =
  | LogRestoreOptions
  | (Omit<LogRestoreOptions, 'log'> & {
      /** Where the log is. */
      readonly store: StoreOption;
    });

/**
 * Restores the database to `dest`; see the options. Throws OPTIONS_INVALID, as the log's own `restore`, what opening the store throws, and with
 * `overwrite` SQLITE_IN_USE and SQLITE_DATABASE_BUSY where a program has the file open, as far as that can be seen.
 */
export async function restore(options: RestoreOptions): Promise<Restored> {
  requireRestoreOptions(options);
  const dest = resolve(options.dest);
  await requirePlace(dest);
  if (options.overwrite === true) await requireUnused(dest, options.env);
  if ('log' in options) return restoreLog(options);
  const { store, ...rest } = options;
  const opened = await openLog(store, { env: options.env, signal: options.signal });
  try {
    return await restoreLog({ ...rest, log: opened.log });
  } finally {
    await opened.close();
  }
}
