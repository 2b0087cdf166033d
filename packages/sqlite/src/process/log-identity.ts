/**
 * Whether the file here is of the log that was opened for it: the state beside the file names its log, the log's entries
 * theirs. Where one of the two is not known nothing is refused. Invariant: a file of another log is neither followed with nor
 * gone on from, and nothing is written to that log.
 */
import { CanopyError } from '@canopy/core';
import { isOtherLog } from '../log/identity.ts';
import type { LogEntry } from '../log/names.ts';
import type { SegmentLog } from '../log/segment-log.ts';
import { inodeOf, readHeaderOf } from './local-file.ts';
import { type KnownLog, readState } from './state-file.ts';

/** For a state that is written now. */
export function knownLog({ id, bucket }: SegmentLog): { readonly log?: KnownLog } {
  return id === undefined ? {} : { log: { id, store: bucket } };
}

/**
 * Tells the log which one it must be from now on; `end` is its newest entry. True: it is another one than the state says, but there is no file that
 * would be mixed with it. Throws SQLITE_FOREIGN_FILE.
 */
export async function recognizeLog(
  where: { readonly path: string; readonly statePath: string; readonly log: SegmentLog },
  end: LogEntry | undefined,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const { path, statePath, log } = where;
  const state = readState(statePath);
  const hasFile = readHeaderOf(path) !== undefined;
  // With another inode it is not the file that the state speaks of.
  const isDescribed = hasFile && state !== undefined && (state.role === 'standby' || state.inode === inodeOf(path));
  // Another program's entry names none; those before it may.
  const theirs = end === undefined ? undefined : (end.logId ?? (await log.findId({ signal })));
  const own = isDescribed ? (state.log?.id ?? log.id) : undefined;
  if (isOtherLog(own, theirs))
    throw foreignFile(path, { id: String(own), store: state?.log?.store }, { id: String(theirs), store: log.bucket });
  log.hold(own ?? theirs);
  return !hasFile && isOtherLog(state?.log?.id, theirs);
}

/** The code of a file that has left its log, in the words of one that was never in it. */
function foreignFile(path: string, own: KnownLog, theirs: KnownLog): Error {
  const seen = own.store === undefined ? '' : `, last seen as ${own.store}`;
  const message = `${path} belongs to log ${own.id}${seen}, but ${theirs.store} holds log ${theirs.id}`;
  const mistake =
    own.store === theirs.store
      ? 'The log was made anew since, from another database or from another state of this one: bring it back as it was'
      : `Is the store named by mistake? Then name the one of this file${own.store === undefined ? '' : `: ${own.store}`}`;
  return new CanopyError('SQLITE_FOREIGN_FILE', message, {
    hint: `Nothing was changed, and whoever writes that log goes on. ${mistake}. Otherwise: if the log is right, move the file and its -canopy directory away and start again (a primary of its own with \`create\`, \`--create\`): it is made from the log. If the file is right, move its -canopy directory away and name another bucket or directory: a new log begins there.`,
    fields: { path, bucket: String(theirs.store), own: own.id, log: theirs.id, ...(own.store && { store: own.store }) },
  });
}
