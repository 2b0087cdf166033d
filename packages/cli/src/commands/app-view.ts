/** What several verbs say about an app: one row, its problems, its last transitions. */
import type { AppOverview, ControlClient, TimelineEntry } from '@canopy/platform';
import type { Cell } from '../output/table.ts';

export async function appsOf(client: ControlClient): Promise<AppOverview[]> {
  const names = await client.apps();
  return Promise.all(names.map((name) => client.appStatus(name)));
}

export function appRow(overview: AppOverview): Cell[] {
  const standbys = overview.instances.filter(({ status }) => status?.role === 'standby');
  const lags = standbys.map(({ status }) => status?.database?.lag.tx);
  const known = lags.filter((lag) => lag !== undefined);
  const lag = lags.length > 0 && known.length === lags.length ? `${Math.max(...known)} tx` : undefined;
  return [
    overview.app,
    overview.active,
    overview.epoch,
    standbys.length,
    lag,
    problemsOf(overview).slice(0, 2).join('; '),
  ];
}

/** Sentences for the operator; none when all is well. */
export function problemsOf(overview: AppOverview): string[] {
  const { app, active, instances } = overview;
  return [
    ...(active === undefined ? [`app ${app} is not served by any node`] : []),
    ...instances.flatMap(({ node, status, error }) => {
      if (status === undefined) return [`app ${app} on ${node}: ${error?.message ?? 'no answer'}`];
      const problem = status.problem ?? status.database?.problem ?? status.backend?.problem;
      return problem === undefined ? [] : [`app ${app} on ${node}: ${problem}`];
    }),
    ...instances.flatMap(({ node, status }) =>
      (status?.database?.divergences ?? []).map(
        (directory) => `app ${app} on ${node}: divergent commits are kept in ${directory}`,
      ),
    ),
  ];
}

/** Nodes of the app that were asked and gave no answer. */
export function silentNodes({ instances }: AppOverview): string[] {
  return instances.filter(({ status }) => status === undefined).map(({ node }) => node);
}

/** The last entries, oldest first: time of day, how far into the transition, what happened. */
export function timelineRows(entries: readonly TimelineEntry[], count: number): Cell[][] {
  return entries
    .slice(-count)
    .map(({ at, ms, event, epoch, detail }) => [
      new Date(at).toISOString().slice(11, 23),
      `+${Math.round(ms)} ms`,
      event,
      epoch,
      detail,
    ]);
}
