/**
 * The port of whatever serves an app while it is active: a process, a systemd unit, a container, or something of the
 * user's. One `Backend` object lives as long as the app on this node; it is started at each promotion and stopped at each
 * step-down, many times.
 */
import type { Env } from '../observe/env.ts';
import type { ProcessGuard } from './process-guard.ts';

export interface BackendContext {
  readonly platform: string;
  readonly app: string;
  readonly node: string;
  readonly env: Env;
  readonly guard: ProcessGuard;
  /** Where the backend may keep small state of its own (pid records, log files). Exists and is writable. */
  readonly stateDir: string;
}

/** The value a user hands to an app as `backend`. */
export interface BackendProvider {
  readonly kind: string;
  /** Cheap: validates, no I/O. */
  open(context: BackendContext): Backend;
}

export type BackendState = 'stopped' | 'starting' | 'running' | 'unhealthy' | 'restarting' | 'stopping' | 'failed';

export interface BackendStatus {
  readonly state: BackendState;
  readonly pid: number | undefined;
  /** Where its requests go, when it serves HTTP: `http://127.0.0.1:8080`. */
  readonly address: string | undefined;
  readonly startedAt: number | undefined;
  readonly restarts: number;
  readonly lastExit: { readonly code: number | undefined; readonly signal: string | undefined } | undefined;
  readonly problem: string | undefined;
}

export type BackendEvent =
  | { readonly type: 'state_changed'; readonly state: BackendState; readonly reason: string }
  | { readonly type: 'exited'; readonly code: number | undefined; readonly signal: string | undefined }
  /** It can't be kept running within its restart policy. Must be answered by stepping down. */
  | { readonly type: 'failed'; readonly error: Error };

export interface Backend {
  /** Ends whatever an earlier life of this node left running. Called once, before anything else. */
  sweep(): Promise<void>;
  /** Resolves when healthy; on failure or abort nothing of it runs any more. Rejects with BACKEND_* codes. */
  start(options: { signal: AbortSignal }): Promise<void>;
  /** Graceful, then by force, within `graceMs`; resolves when nothing of it runs. Never rejects. */
  stop(options?: { graceMs?: number }): Promise<void>;
  health(): Promise<{ readonly healthy: boolean; readonly detail: string | undefined }>;
  status(): BackendStatus;
  watch(options?: { signal?: AbortSignal | undefined }): AsyncIterable<BackendEvent>;
}
