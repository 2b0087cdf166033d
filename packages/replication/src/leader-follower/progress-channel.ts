/** How followers tell a leader how far they are, beside the log. At most once, in any order: reports are hints that come again. */
export interface FollowerProgress {
  readonly nodeId: string;
  readonly sequence: number;
}

export interface ProgressChannel {
  /** May lose the report; must not block. */
  report(namespace: string, progress: FollowerProgress): void;
  /** Reports from now on; returns what ends it. */
  subscribe(namespace: string, callback: (progress: FollowerProgress) => void): () => void;
}

/** For nodes of one process, and tests. */
export class MemoryProgressChannel implements ProgressChannel {
  readonly #callbacks = new Map<string, Set<(progress: FollowerProgress) => void>>();

  report(namespace: string, progress: FollowerProgress): void {
    for (const callback of [...(this.#callbacks.get(namespace) ?? [])]) callback(progress);
  }

  subscribe(namespace: string, callback: (progress: FollowerProgress) => void): () => void {
    const callbacks = this.#callbacks.get(namespace) ?? new Set();
    this.#callbacks.set(namespace, callbacks.add(callback));
    return () => callbacks.delete(callback);
  }
}
