/**
 * The program that carries out one restore: started by `restore/child.ts`, told what to restore, ends with its answer. When
 * its parent goes, or takes the order back, it removes what is half-done and ends. It takes a low priority first.
 */
import { constants, setPriority } from 'node:os';
import type { FromRestorer, ToRestorer } from './child.ts';

setPriority(constants.priority.PRIORITY_BELOW_NORMAL);

/** Progress is told at most this often. */
const PROGRESS_MS = 200;

const gone = new AbortController();
process.on('SIGINT', () => {});
process.on('SIGHUP', () => {});
process.on('disconnect', () => gone.abort(new DOMException('the order was taken back', 'AbortError')));
process.once('message', (message) => void carryOut(message as ToRestorer));

async function carryOut({ spec, order }: ToRestorer): Promise<void> {
  const { silentLogger, systemEnv } = await import('@canopy/core');
  const { encodeError } = await import('../process/protocol.ts');
  const { restoreOrdered } = await import('./ordered.ts');
  const env = systemEnv({ log: silentLogger });
  const say = (message: FromRestorer, then = (): void => {}): void => {
    if (process.connected) process.send?.(message, undefined, undefined, then);
    else then();
  };
  const end = (): void => process.exit(0);
  let toldAt = env.clock.monotonic();
  try {
    const restored = await restoreOrdered(spec, order, {
      env,
      signal: gone.signal,
      onProgress: (progress) => {
        const now = env.clock.monotonic();
        if (now - toldAt < PROGRESS_MS && progress.doneBytes < progress.totalBytes) return;
        toldAt = now;
        say({ type: 'progress', progress });
      },
    });
    say({ type: 'restored', restored }, end);
  } catch (error) {
    say({ type: 'error', error: encodeError(error) }, end);
  }
}
