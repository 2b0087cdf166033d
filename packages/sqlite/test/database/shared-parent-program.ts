/** A program with two databases in one shared process; prints that process's id when both are open. */
import { type ConnectionSpec, epoch, systemEnv } from '@canopy/core';
import { sqlite } from '../../src/index.ts';

const { paths, connection } = JSON.parse(process.argv[2] as string) as {
  paths: string[];
  connection: ConnectionSpec;
};
const pids = new Set<number>();
const guard = {
  register: async ({ pid }: { pid: number }): Promise<void> => void pids.add(pid),
  unregister: async (): Promise<void> => {},
};
for (const [i, path] of paths.entries()) {
  const context = { platform: 'test', app: `app${i}`, node: 'a', connection, env: systemEnv(), guard };
  const database = sqlite(path, { process: 'shared' }).open(context);
  await database.start();
  await database.promote({ epoch: epoch(1), signal: AbortSignal.timeout(20_000) });
}
process.stdout.write(`pids ${[...pids].join(' ')}\n`);
setInterval(() => {}, 60_000);
