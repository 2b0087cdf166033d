/**
 * The port between what starts operating-system processes (backends, database processes) and the warden that ends them
 * when this process can't. A process may write only while it is registered: registration comes first, work second.
 */
import type { ProcessId } from '../system/processes.ts';

/**
 * `kill`: SIGKILL to the process's whole group, at once, when the lease's deadline passes or the parent dies.
 * `drain`: only after every `kill` process is gone because the parent died: SIGTERM, a bounded wait (so that what is
 * already written can still be shipped), then SIGKILL. A passed deadline does not touch it.
 */
export type GuardedKind = 'kill' | 'drain';

export interface GuardedProcess extends ProcessId {
  readonly kind: GuardedKind;
  /** For log lines: "backend", "database". */
  readonly label: string;
}

export interface ProcessGuard {
  /** Resolves once the warden knows the process; from then on it can't outlive the lease. */
  register(process: GuardedProcess): Promise<void>;
  /** The process has ended; its pid may be used by others from now on. */
  unregister(process: ProcessId): Promise<void>;
}

/** For use without a warden (tests, a database followed on its own). */
export const noGuard: ProcessGuard = {
  register: async () => {},
  unregister: async () => {},
};
