/**
 * What is not right with the place where a log is kept, as this process saw it last, whoever looked: the opening, and the
 * primary again and again. Each thing is news once, until it has been put right.
 */
import type { BlobBucketInfo, Blobs } from '@canopy/nats';
import type { SegmentLog } from '../log/segment-log.ts';
import { DirectoryStore } from '../store/directory-store.ts';
import { type BucketFinding, checkBucket, checkDirectory } from './bucket-check.ts';

export class StoreSettings {
  #findings: readonly BucketFinding[] = [];

  /** Worst first. */
  get findings(): readonly BucketFinding[] {
    return this.#findings;
  }

  /** Those that were not among the ones before. */
  note(findings: readonly BucketFinding[]): readonly BucketFinding[] {
    const known = new Set(this.#findings.map(({ code }) => code));
    this.#findings = findings;
    return findings.filter(({ code }) => !known.has(code));
  }
}

/** In the words of the store: a directory has no stream to be edited. */
export function findingsAbout(store: Blobs, info: BlobBucketInfo): readonly BucketFinding[] {
  return store instanceof DirectoryStore ? checkDirectory(info) : checkBucket(info);
}

export async function findingsIn(store: Blobs, signal?: AbortSignal): Promise<readonly BucketFinding[]> {
  return findingsAbout(store, await store.bucketInfo({ signal }));
}

const known = new WeakMap<SegmentLog, StoreSettings>();

/** One for each log that is open. */
export function settingsOf(log: SegmentLog): StoreSettings {
  const settings = known.get(log) ?? new StoreSettings();
  known.set(log, settings);
  return settings;
}
