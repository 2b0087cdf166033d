/** How long each step of a term may take, from the app's options. Everything an app waits for is in this table. */
import type { CoordinatorDeps } from './coordinator.ts';
import type { ResolvedAppOptions } from './options.ts';
import { SHORT_PROMOTE_MS } from './readiness.ts';

/** The election waits this long for a term to be cleared away before it leaves the lease to run out. */
export const DEMOTE_TIMEOUT_MS = 120_000;

/** Hooks have limits of their own (default 30 s), and wait for those before them. */
const HOOKS_MS = 120_000;
/** Backends have a start timeout of their own. */
const BACKEND_START_MS = 600_000;
const BACKEND_STOP_MS = 60_000;

/** `patience` gives the time for something that takes the given short time when another node could do it instead. */
export function coordinatorBounds(
  options: ResolvedAppOptions,
  patience: (shortMs: number) => number,
): Pick<CoordinatorDeps, 'stepTimeoutMs' | 'undoTimeoutMs' | 'abortGraceMs'> {
  const { promoteTimeoutMs, drainTimeoutMs, stopGraceMs } = options;
  return {
    stepTimeoutMs: {
      // It has a bound of its own, which can name what it waits for; this one is for the case that it hangs.
      settle: promoteTimeoutMs + 1000,
      promote: () => patience(SHORT_PROMOTE_MS),
      activate: HOOKS_MS,
      start_backend: BACKEND_START_MS,
      serve: 10_000,
    },
    undoTimeoutMs: {
      close_gate: drainTimeoutMs + 1000,
      stop_backend: (stopGraceMs ?? BACKEND_STOP_MS) + 10_000,
      deactivate: HOOKS_MS,
      demote: 30_000,
    },
    abortGraceMs: 5000,
  };
}
