/** What a log says about itself, for people who have its address and nothing else. */
import type { DatabaseWarning, Env } from '@canopy/core';
import type { Blobs } from '@canopy/nats';
import { requireCallOptions } from '../database/call-checks.ts';
import { sqliteErrors } from '../errors.ts';
import { findingsIn } from '../levels/settings.ts';
import type { LogEntry } from '../log/names.ts';
import { type LevelSummary, type LogProblem, summarizeLog } from '../log/summary.ts';
import { DirectoryStore } from '../store/directory-store.ts';
import { readVerified, type Verified } from '../verify/record.ts';
import { openLog, parseStore, type StoreOption } from './store-option.ts';

/** Files that are named one by one; more are counted. */
const FILES_TOLD = 3;

export interface LogDescription {
  /** Such as `bucket orders`; without secrets. */
  readonly label: string;
  /** The newest entry: who wrote last, where, and when by its clock. Epoch 0: another program than Canopy. */
  readonly end: LogEntry;
  /** The newest full image; undefined when there is none, which is a problem as well. */
  readonly snapshot: LogEntry | undefined;
  readonly levels: readonly LevelSummary[];
  /** When a restore was last proven; undefined: never. */
  readonly verified: Verified | undefined;
  /** What is wrong, worst first; empty when nothing is. */
  readonly problems: readonly LogProblem[];
  /** What lasts and is not as it should be. */
  readonly warnings: readonly DatabaseWarning[];
}

/** From a listing (and of a directory, whether each file is there); reads no contents. Throws SQLITE_LOG_EMPTY, SQLITE_STORE_INVALID, BLOB_BUCKET_MISSING, NATS_*. */
export async function describeLog(options: {
  readonly store: StoreOption;
  readonly signal?: AbortSignal | undefined;
  readonly env?: Env | undefined;
}): Promise<LogDescription> {
  requireCallOptions('describeLog()', options);
  const { signal, env } = options;
  const { label } = parseStore(options.store);
  const { log, close } = await openLog(options.store, { env, signal });
  try {
    const verified = await readVerified(log.store, signal);
    const { end, problems, ...summary } = summarizeLog(log.bucket, await log.all({ signal }), verified?.position);
    if (end === undefined) throw sqliteErrors.create('SQLITE_LOG_EMPTY', { bucket: log.bucket });
    const findings = await findingsIn(log.store, signal);
    const settings = findings.filter(({ isProblem }) => isProblem);
    return {
      label,
      end,
      ...summary,
      verified,
      problems: [
        ...problems,
        ...fileProblems(log.store),
        ...settings.map(({ message, hint }) => ({ problem: message, action: hint })),
      ],
      warnings: findings
        .filter(({ isProblem }) => !isProblem)
        .map(({ code, message, hint }) => ({ code, message, hint })),
    };
  } finally {
    await close();
  }
}

/** In a directory anybody may delete or cut a file; what the listing says of it stays. */
function fileProblems(store: Blobs): LogProblem[] {
  const damaged = store instanceof DirectoryStore ? store.damaged() : [];
  if (damaged.length === 0) return [];
  const more = damaged.length > FILES_TOLD ? ` and ${damaged.length - FILES_TOLD} more` : '';
  return [
    {
      problem: `files of the log are missing or cut: ${damaged.slice(0, FILES_TOLD).join(', ')}${more}`,
      action: 'bring them back from a backup; canopy db verify tells whether the end can be restored without them',
    },
  ];
}
