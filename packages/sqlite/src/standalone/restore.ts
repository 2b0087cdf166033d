/** `restore` for people who have an address of a log rather than a log. */
import { type RestoreOptions as LogRestoreOptions, type Restored, restore as restoreLog } from '../restore/restore.ts';
import { openLog, type StoreOption } from './store-option.ts';

export type RestoreOptions =
  | LogRestoreOptions
  | (Omit<LogRestoreOptions, 'log'> & {
      /** Where the log is. */
      readonly store: StoreOption;
    });

/** Restores the database to `dest`; see the options. Throws as the log's own `restore`, and what opening the store throws. */
export async function restore(options: RestoreOptions): Promise<Restored> {
  if ('log' in options) return restoreLog(options);
  const { store, ...rest } = options;
  const opened = await openLog(store, { env: options.env, signal: options.signal });
  try {
    return await restoreLog({ ...rest, log: opened.log });
  } finally {
    await opened.close();
  }
}
