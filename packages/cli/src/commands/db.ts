/** `canopy db status [APP]`: who is primary, how far behind everyone is, when the last snapshot was. */
import { systemClock } from '@canopy/core';
import { type ClusterOptions, withCluster } from '../connect.ts';
import { EXIT } from '../exit-codes.ts';
import type { Printer } from '../output/printer.ts';
import { renderTable } from '../output/table.ts';
import { appsOf, databaseRow } from './app-view.ts';

export async function databaseStatus(
  app: string | undefined,
  options: ClusterOptions,
  printer: Printer,
): Promise<number> {
  return withCluster(options, async (client) => {
    const overviews = app === undefined ? await appsOf(client) : [await client.appStatus(app)];
    const rows = overviews.flatMap(({ app: name, instances }) =>
      instances.flatMap(({ node, status }) =>
        status?.database === undefined ? [] : [{ app: name, node, database: status.database }],
      ),
    );
    const now = systemClock.wall();
    printer.result(rows, () =>
      rows.length === 0
        ? 'no databases'
        : renderTable(
            ['APP', 'NODE', 'ROLE', 'POSITION', 'LAG', 'SIZE', 'LAST SNAPSHOT', 'DIVERGENCES'],
            rows.map((row) => [row.app, ...databaseRow(row.node, row.database, now)]),
          ),
    );
    const primaries = rows.filter((row) => row.database.role === 'primary').length;
    return rows.length > 0 && primaries === 0 ? EXIT.failed : EXIT.ok;
  });
}
