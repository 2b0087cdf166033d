/**
 * `canopy db status [APP]`: who is primary, how far behind everyone is, when the last snapshot was and when a restore was
 * last proven, what is wrong and what to do about it. Unknown is said to be unknown.
 */
import { systemClock } from '@canopy/core';
import type { AppOverview, AppStatus, ControlClient, KeptDivergence, NodeDivergences } from '@canopy/platform';
import { type ClusterOptions, withCluster } from '../connect.ts';
import { EXIT } from '../exit-codes.ts';
import type { Printer } from '../output/printer.ts';
import { appsOf } from './app-view.ts';
import { type DatabaseView, databaseText } from './database-view.ts';

export async function databaseStatus(
  app: string | undefined,
  options: ClusterOptions,
  printer: Printer,
): Promise<number> {
  return withCluster(options, async (client) => {
    const overviews = app === undefined ? await appsOf(client) : [await client.appStatus(app)];
    const views = await Promise.all(overviews.filter(hasDatabase).map((overview) => viewOf(client, overview)));
    const now = systemClock.wall();
    printer.result(views.flatMap(databaseRows), () =>
      views.length === 0 ? 'no databases' : views.map((view) => databaseText(view, now)).join('\n\n'),
    );
    return views.every(({ problems }) => problems.length === 0) ? EXIT.ok : EXIT.failed;
  });
}

interface DatabaseRow {
  readonly app: string;
  readonly node: string;
  /** Undefined when the node did not answer; then `error` says why. */
  readonly database?: NonNullable<AppStatus['database']>;
  readonly error?: object;
  /** Copies of databases that the node has kept aside, with their sizes. */
  readonly kept?: readonly KeptDivergence[];
  /** Of the whole app, the same in each of its rows: what is wrong, and what to do. */
  readonly problems: DatabaseView['problems'];
}

/** Nodes without a database for the app are left out; nodes that do not answer are not. */
function databaseRows({ overview, kept, problems }: DatabaseView): DatabaseRow[] {
  const { app, instances } = overview;
  return instances.flatMap(({ node, status, error }): DatabaseRow[] => {
    if (status === undefined)
      return [{ app, node, ...(error === undefined ? {} : { error: error.toJSON() }), problems }];
    const divergences = kept.find((one) => one.node === node)?.divergences;
    const aside = divergences === undefined ? {} : { kept: divergences };
    return status.database === undefined ? [] : [{ app, node, database: status.database, ...aside, problems }];
  });
}

/** A node that does not answer may have one. */
function hasDatabase({ instances }: AppOverview): boolean {
  return instances.some(({ status }) => status === undefined || status.database !== undefined);
}

/** Sizes of what is kept are asked for only where something is. */
async function viewOf(client: ControlClient, overview: AppOverview): Promise<DatabaseView> {
  const keeps = overview.instances.some(({ status }) => (status?.database?.divergences.length ?? 0) > 0);
  const kept = keeps ? await client.databases.divergences(overview.app).catch((): NodeDivergences[] => []) : [];
  const snapshot = await client.databases.listSnapshots(overview.app, { timeoutMs: 3000 }).then(
    (list) => list.at(-1),
    () => undefined,
  );
  return { overview, kept, snapshot, problems: problemsIn(overview, kept) };
}

function problemsIn(overview: AppOverview, kept: readonly NodeDivergences[]): DatabaseView['problems'] {
  const { app, instances } = overview;
  const databases = instances.flatMap(({ status }) => status?.database ?? []);
  const vacant = databases.length > 0 && !databases.some(({ role }) => role === 'primary');
  return [
    ...(vacant
      ? [
          {
            problem: 'no node is primary: nothing can be written',
            action: `canopy app status ${app} says what each node waits for`,
          },
        ]
      : []),
    ...instances.flatMap(({ node, status, error }) => {
      if (status === undefined)
        return [{ problem: `${node}: ${error?.message ?? 'no answer'}`, action: error?.hint ?? 'see whether it runs' }];
      const problem = status.database?.problem;
      return problem === undefined ? [] : [{ problem: `${node}: ${problem}`, action: `see the log of ${node}` }];
    }),
    ...instances.flatMap(({ node, status }) => keptProblem(app, node, status, kept)),
  ];
}

function keptProblem(
  app: string,
  node: string,
  status: AppStatus | undefined,
  kept: readonly NodeDivergences[],
): DatabaseView['problems'] {
  const count = status?.database?.divergences.length ?? 0;
  if (count === 0) return [];
  const rows = kept.find((one) => one.node === node)?.divergences?.map(({ rows: differing }) => differing);
  const isKnown = rows?.every((one) => one !== undefined);
  const about = isKnown ? `, ${rows.reduce((sum, one) => sum + one, 0)} row(s) in all` : '';
  return [
    {
      problem: `${node} made commits that the others never got: ${count} cop${count === 1 ? 'y' : 'ies'} kept aside${about}`,
      action: `canopy db divergence list ${app}, then show, export what is missed, and delete`,
    },
  ];
}
