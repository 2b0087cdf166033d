/** The value a user hands to an app: `backend: processBackend({ command: 'node server.js', health: { port: 8080 } })`. */
import type { BackendContext, BackendProvider } from '@canopy/core';
import { ProcessBackend } from './backend.ts';
import { type ProcessBackendOptions, resolveProcessOptions } from './options.ts';

export interface ProcessBackendProvider extends BackendProvider {
  open(context: BackendContext): ProcessBackend;
}

/**
 * Runs the app as an operating-system process with a group of its own while this node is active. Throws OPTIONS_INVALID
 * at once; whether the command exists is checked at each start.
 */
export function processBackend(options: ProcessBackendOptions): ProcessBackendProvider {
  const resolved = resolveProcessOptions(options);
  return { kind: 'process', open: (context) => new ProcessBackend(resolved, context) };
}
