/**
 * Which objects of a log this process has decoded from end to end. A stored object never changes, so that is done once;
 * but it may be gone or replaced by the time that somebody relies on it, so its presence is asked for again.
 */
import type { LogEntry } from '../log/names.ts';
import type { SegmentLog } from '../log/segment-log.ts';

/** Names remembered; past it all are forgotten, which costs only a second look. */
const NAMES_MAX = 20_000;

export class Proofs {
  readonly #log: SegmentLog;
  readonly #revisions = new Map<string, number>();

  constructor(log: SegmentLog) {
    this.#log = log;
  }

  /** True: it is in the log now and decodes. False: it is not there. Throws SQLITE_LTX_INVALID or BLOB_CORRUPT. */
  async prove(entry: LogEntry, signal?: AbortSignal): Promise<boolean> {
    const now = await this.#log.find(entry.name, { signal });
    if (now === undefined) return false;
    if (this.#revisions.get(now.name) === now.revision) return true;
    if (!(await this.#log.verify(now.name, { signal }))) return false;
    if (this.#revisions.size >= NAMES_MAX) this.#revisions.clear();
    this.#revisions.set(now.name, now.revision);
    return true;
  }
}
