/** `canopy db status [APP]`: who is primary, how far behind everyone is, when the last snapshot was. */
import { systemClock } from '@canopy/core';
import type { AppOverview, AppStatus } from '@canopy/platform';
import { type ClusterOptions, withCluster } from '../connect.ts';
import { EXIT } from '../exit-codes.ts';
import type { Printer } from '../output/printer.ts';
import { renderTable } from '../output/table.ts';
import { appsOf, databaseRow, silentNodes } from './app-view.ts';

export async function databaseStatus(
  app: string | undefined,
  options: ClusterOptions,
  printer: Printer,
): Promise<number> {
  return withCluster(options, async (client) => {
    const overviews = app === undefined ? await appsOf(client) : [await client.appStatus(app)];
    const rows = overviews.flatMap(databaseRows);
    const now = systemClock.wall();
    printer.result(rows, () =>
      rows.length === 0
        ? 'no databases'
        : renderTable(
            ['APP', 'NODE', 'ROLE', 'POSITION', 'LAG', 'SIZE', 'LAST SNAPSHOT', 'DIVERGENCES'],
            rows.map(({ app: name, node, database }) => [
              name,
              ...(database === undefined ? [node, 'no answer'] : databaseRow(node, database, now)),
            ]),
          ),
    );
    return overviews.every(isInOrder) ? EXIT.ok : EXIT.failed;
  });
}

interface DatabaseRow {
  readonly app: string;
  readonly node: string;
  /** Undefined when the node did not answer; then `error` says why. */
  readonly database?: NonNullable<AppStatus['database']>;
  readonly error?: object;
}

/** Nodes without a database for the app are left out; nodes that do not answer are not. */
function databaseRows({ app, instances }: AppOverview): DatabaseRow[] {
  return instances.flatMap(({ node, status, error }): DatabaseRow[] => {
    if (status === undefined) return [{ app, node, ...(error === undefined ? {} : { error: error.toJSON() }) }];
    return status.database === undefined ? [] : [{ app, node, database: status.database }];
  });
}

/** Everybody answers, and where there are databases, one is primary. */
function isInOrder(overview: AppOverview): boolean {
  const databases = overview.instances.flatMap(({ status }) => status?.database ?? []);
  const primaries = databases.filter(({ role }) => role === 'primary').length;
  return silentNodes(overview).length === 0 && (databases.length === 0 || primaries > 0);
}
