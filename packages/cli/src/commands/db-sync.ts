/** `canopy db sync APP` or `--file DATABASE`: waits until everything that is committed is safe, and says so. */
import { type ClusterOptions, withCluster } from '../connect.ts';
import { askControl } from '../control/socket.ts';
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
    printer.result({ app, node, position, ms, applied: applied ?? null }, () =>
      syncedText(`${app}: everything committed on ${node}`, position, ms, applied),
    );
    return EXIT.ok;
  });
}

/** Asks the `db replicate` of the file. */
export async function syncFile(file: string, options: SyncVerbOptions, printer: Printer): Promise<number> {
  const { applied, timeoutMs } = options;
  const answer = await askControl(file, { op: 'sync', timeoutMs, ...(applied === undefined ? {} : { applied }) });
  const { position, ms } = answer as { position: string; ms: number };
  printer.result({ file, position, ms, applied: applied ?? null }, () =>
    syncedText(`everything committed in ${file}`, position, ms, applied),
  );
  return EXIT.ok;
}

function syncedText(what: string, position: string, ms: number, applied: number | undefined): string {
  const standbys = applied === undefined ? '' : `, and in the files of ${applied} standby${applied === 1 ? '' : 's'}`;
  return `${what} up to ${position} is in the log${standbys} (${ms} ms)`;
}
