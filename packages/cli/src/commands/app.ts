/** `canopy app list` and `canopy app status APP`. */
import type { AppOverview } from '@canopy/platform';
import { type ClusterOptions, withCluster } from '../connect.ts';
import { EXIT } from '../exit-codes.ts';
import type { Printer } from '../output/printer.ts';
import { renderFacts, renderTable } from '../output/table.ts';
import { appRow, appsOf, problemsOf, silentNodes, timelineRows } from './app-view.ts';
import { overviewJson } from './status.ts';

export async function appList(options: ClusterOptions, printer: Printer): Promise<number> {
  return withCluster(options, async (client) => {
    const apps = await appsOf(client);
    printer.result(apps.map(overviewJson), () =>
      apps.length === 0
        ? 'no apps'
        : renderTable(['APP', 'ACTIVE', 'EPOCH', 'STANDBYS', 'LAG', 'PROBLEM'], apps.map(appRow)),
    );
    return apps.every(isAnswering) ? EXIT.ok : EXIT.failed;
  });
}

/** Served, and every node of it tells how it is. */
function isAnswering(overview: AppOverview): boolean {
  return overview.active !== undefined && silentNodes(overview).length === 0;
}

export async function appStatus(app: string, options: ClusterOptions, printer: Printer): Promise<number> {
  return withCluster(options, async (client) => {
    const overview = await client.appStatus(app);
    printer.result(overviewJson(overview), () => describe(overview));
    return isAnswering(overview) ? EXIT.ok : EXIT.failed;
  });
}

function describe(overview: AppOverview): string {
  const active = overview.instances.find(({ node }) => node === overview.active)?.status;
  const problems = problemsOf(overview);
  const rows = overview.instances.map(({ node, status, error }) => [
    node,
    status?.role ?? 'no answer',
    status?.backend === undefined
      ? undefined
      : `${status.backend.state}${status.backend.pid === undefined ? '' : ` (${status.backend.pid})`}`,
    status?.database?.role,
    status?.proxy?.address,
    status?.proxy?.queued,
    error?.message ?? status?.problem,
  ]);
  return [
    renderFacts([
      ['app', overview.app],
      ['active', overview.active ?? 'nobody'],
      ['epoch', overview.epoch],
      ['lease left', active?.election === undefined ? undefined : `${Math.round(active.election.leaseLeftMs)} ms`],
      ['backend', active?.backend?.address],
    ]),
    '',
    renderTable(['NODE', 'ROLE', 'BACKEND', 'DATABASE', 'PROXY', 'QUEUED', 'PROBLEM'], rows),
    ...(active === undefined || active.timeline.length === 0
      ? []
      : [
          '',
          `last transitions as ${active.node} saw them:`,
          renderTable(['TIME', 'AFTER', 'EVENT', 'EPOCH', 'DETAIL'], timelineRows(active.timeline, 14)),
        ]),
    ...(problems.length === 0 ? [] : ['', ...problems.map((problem) => `! ${problem}`)]),
  ].join('\n');
}
