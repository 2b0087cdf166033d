/** What SQLite and the operating system report, in our codes. The only place here that looks at their numbers. */
import { CanopyError, messageOf } from '@canopy/core';
import { replicationErrors } from '../errors.ts';

const BUSY: ReadonlySet<number> = new Set([5, 6]);
const FULL = 13;
const PROBLEMS: Readonly<Record<number, string>> = {
  8: 'the file can not be written to',
  11: 'the file is damaged',
  14: 'the file can not be opened',
  26: 'the file is no SQLite database',
};

/** Somebody else holds a lock at the moment. */
export function isBusy(error: unknown): boolean {
  const code = resultCode(error);
  return code !== undefined && BUSY.has(code);
}

export function storeFailure(store: string, error: unknown): CanopyError {
  if (CanopyError.is(error)) return error;
  const code = resultCode(error);
  const errno = (error as NodeJS.ErrnoException | undefined)?.code;
  if (code === FULL || errno === 'ENOSPC' || errno === 'EDQUOT')
    return replicationErrors.create('STATE_STORE_FULL', { store }, error);
  const known = code === undefined ? undefined : PROBLEMS[code];
  const problem = isBusy(error)
    ? 'another program holds a lock on the file'
    : known === undefined
      ? messageOf(error)
      : `${known} (${messageOf(error)})`;
  return replicationErrors.create('STATE_STORE_FAILED', { store, problem }, error);
}

/** SQLite's primary result code. */
function resultCode(error: unknown): number | undefined {
  const code = (error as { errcode?: unknown } | undefined)?.errcode;
  return typeof code === 'number' ? code & 0xff : undefined;
}
