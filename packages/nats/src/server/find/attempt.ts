/** What one way of getting a server is given, and what it gives back. */
import type { Env } from '@canopy/core';
import type { Environment } from '../environment.ts';
import type { OnProgress } from './progress.ts';

export interface AttemptContext {
  readonly env: Env;
  readonly environment: Environment;
  /** A directory that is removed afterwards. */
  readonly workspace: string;
  readonly onProgress: OnProgress;
  readonly signal: AbortSignal | undefined;
}

/** The path of a binary in the workspace, or one line on why there is none. */
export type AttemptResult = { readonly binary: string } | { readonly problem: string };
