/**
 * The program that proves a restore, for one proof: started by `verify/child.ts`, told what to look at, ends with its answer
 * or with its parent. It takes the lowest priority before anything else.
 */
import { constants, setPriority } from 'node:os';
import type { FromProver, ToProver } from './child.ts';

setPriority(constants.priority.PRIORITY_LOW);

process.on('SIGINT', () => {});
process.on('SIGHUP', () => {});
process.on('disconnect', () => process.exit(0));
process.on('message', (message) => void prove(message as ToProver));

async function prove({ spec, scratch }: ToProver): Promise<void> {
  const { silentLogger, systemEnv } = await import('@canopy/core');
  const { connectNats } = await import('@canopy/nats');
  const { encodeError } = await import('../process/protocol.ts');
  const { logBucket } = await import('../process/opening.ts');
  const { DirectoryStore } = await import('../store/directory-store.ts');
  const { SegmentLog } = await import('../log/segment-log.ts');
  const { proveRestore } = await import('./scratch-restore.ts');
  const env = systemEnv({ log: silentLogger });
  const answer = (message: FromProver): void => {
    process.send?.(message, undefined, undefined, () => process.exit(0));
  };
  try {
    const directory = spec.store?.kind === 'directory' ? spec.store.path : '';
    const name = `${spec.node}-verify-${spec.app}`;
    await using session = directory === '' ? await connectNats(spec.connection, { name, env }) : undefined;
    const stored = session?.blobs(logBucket(spec));
    const blobs = stored === undefined ? DirectoryStore.open({ path: directory, env }) : await stored;
    const log = new SegmentLog({ blobs, clock: env.clock });
    answer({ type: 'proof', proof: await proveRestore({ log, path: spec.path, scratch, env }) });
  } catch (error) {
    answer({ type: 'error', error: encodeError(error) });
  }
}
