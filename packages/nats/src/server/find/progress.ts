/** What the search for a server tells while it goes on: notices and the progress of a download. */
export type FindProgress =
  /** A binary was found that can't be used; the search goes on. */
  | { readonly type: 'passed_over'; readonly path: string; readonly reason: string }
  /** Something is fetched from outside; may take up to a minute on a slow line. */
  | { readonly type: 'attempt_started'; readonly source: ProvisionSource; readonly detail: string }
  | {
      readonly type: 'attempt_advanced';
      readonly source: ProvisionSource;
      readonly doneBytes: number;
      readonly totalBytes: number | undefined;
    }
  | { readonly type: 'attempt_failed'; readonly source: ProvisionSource; readonly reason: string }
  | { readonly type: 'installed'; readonly path: string; readonly version: string; readonly ms: number };

export type ProvisionSource = 'release' | 'debian';

export type OnProgress = (progress: FindProgress) => void;

/** One line for people. */
export function describeProgress(progress: FindProgress): string {
  switch (progress.type) {
    case 'passed_over':
      return `${progress.path} is passed over: ${progress.reason}`;
    case 'attempt_started':
      return progress.detail;
    case 'attempt_advanced': {
      const done = (progress.doneBytes / 1e6).toFixed(1);
      return progress.totalBytes === undefined
        ? `${done} MB`
        : `${done} of ${(progress.totalBytes / 1e6).toFixed(1)} MB`;
    }
    case 'attempt_failed':
      return progress.reason;
    case 'installed':
      return `nats-server ${progress.version} is ready (${(progress.ms / 1000).toFixed(1)} s): ${progress.path}`;
  }
}
