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
  const { encodeError } = await import('../process/protocol.ts');
  const { openLog } = await import('../store/open-log.ts');
  const { proveRestore } = await import('./scratch-restore.ts');
  const env = systemEnv({ log: silentLogger });
  const answer = (message: FromProver): void => {
    process.send?.(message, undefined, undefined, () => process.exit(0));
  };
  try {
    const store = spec.store ?? { kind: 'nats', bucket: `${spec.platform}_${spec.app}_wal` };
    const name = `${spec.node}-verify-${spec.app}`;
    const { log, close } = await openLog({ store, connection: spec.connection, name, env });
    try {
      answer({ type: 'proof', proof: await proveRestore({ log, path: spec.path, scratch, env }) });
    } finally {
      await close();
    }
  } catch (error) {
    answer({ type: 'error', error: encodeError(error) });
  }
}
