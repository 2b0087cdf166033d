/** Where snapshots of a state lie, so that a new replica need not read all history. A snapshot is there whole or not at all. */
export interface SnapshotInfo {
  readonly namespace: string;
  /** The log's position that the state stands for. */
  readonly sequence: number;
  readonly epoch: number;
  /** `createdAt` of the log: a snapshot of another log is none. */
  readonly logCreatedAt: number;
  readonly entries: number;
  readonly bytes: number;
  /** SHA-256 of the bytes, hex. */
  readonly sha256: string;
  /** Unix ms. */
  readonly storedAt: number;
}

export interface SnapshotStore {
  /** Lines are Unicode text without line feeds. Resolves when it is stored; on failure nothing is there, or, after an unknown outcome, all. The facts that only the end of the bytes tells come back. */
  put(
    info: Pick<SnapshotInfo, 'namespace' | 'sequence' | 'epoch' | 'logCreatedAt'>,
    lines: AsyncIterable<string> | Iterable<string>,
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<SnapshotInfo>;
  /** The one with the greatest sequence; of several logs of the name (`logCreatedAt`), that of the newest log. */
  latest(namespace: string): Promise<SnapshotInfo | undefined>;
  /** Batches of lines as they were put. Throws SNAPSHOT_DAMAGED before its last batch when bytes are missing or others. */
  read(info: SnapshotInfo, options?: { readonly signal?: AbortSignal | undefined }): AsyncIterable<readonly string[]>;
  /** All but the newest `keep` (at least 1). Returns how many went. */
  prune(namespace: string, keep: number): Promise<number>;
}
