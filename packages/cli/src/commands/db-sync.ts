/** `canopy db sync APP`: waits until everything that is committed is safe, and says so. */
import { type ClusterOptions, withCluster } from '../connect.ts';
import { EXIT } from '../exit-codes.ts';
import type { Printer } from '../output/printer.ts';

export interface SyncVerbOptions extends ClusterOptions {
  readonly applied?: number | undefined;
}

export async function syncDatabase(app: string, options: SyncVerbOptions, printer: Printer): Promise<number> {
  const { applied, timeoutMs } = options;
  return withCluster(options, async (client) => {
    const wanted = applied === undefined ? {} : { applied };
    const { node, position, ms } = await client.databases.sync(app, { ...wanted, timeoutMs });
    printer.result({ app, node, position, ms, applied: applied ?? null }, () => {
      const standbys =
        applied === undefined ? '' : `, and in the files of ${applied} standby${applied === 1 ? '' : 's'}`;
      return `${app}: everything committed on ${node} up to ${position} is in the log${standbys} (${ms} ms)`;
    });
    return EXIT.ok;
  });
}
