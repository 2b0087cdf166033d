/** What an app hears of its backend: its states are logged, its failure ends the term. */
import { type Backend, type Logger, messageOf } from '@canopy/core';

/** Returns when the signal aborts or the backend has ended for good. */
export async function watchBackend(
  backend: Backend,
  log: Logger,
  onFailed: (reason: string) => void,
  signal: AbortSignal,
): Promise<void> {
  for await (const event of backend.watch({ signal })) {
    if (event.type === 'failed') onFailed(`backend: ${messageOf(event.error)}`);
    else if (event.type === 'state_changed')
      log.info('backend_state_changed', { state: event.state, reason: event.reason });
  }
}
