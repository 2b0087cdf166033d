/** What the calls of an election take. */
import type { ElectionReason } from './api.ts';

export interface ElectionStopOptions {
  /** Release the lease, so that another takes over at once. Default true. Without it the lease runs out. */
  readonly deleteKey?: boolean;
  /** Resolve only after the demote hooks. Default true; they run and precede the release in any case. */
  readonly waitForDemote?: boolean;
  /** Bound on the whole stop. Default: the hook timeout and five requests. What is not done by then is left to the ttl. */
  readonly timeoutMs?: number;
}

export interface StepDownOptions {
  readonly reason?: ElectionReason;
  /** Rest before standing again; default the `holdOff` option. Whoever else wants the lease gets it meanwhile. */
  readonly holdOffMs?: number;
}

export interface WaitOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal | undefined;
}
