/** `canopy status`: the members and who is active. Exit code 1 when something needs a look. */
import { join } from 'node:path';
import { CanopyError, formatDuration } from '@canopy/core';
import type { AppOverview, MemberView } from '@canopy/platform';
import { diskSpace } from '../cluster/disk-space.ts';
import { type ClusterOptions, withCluster } from '../connect.ts';
import { EXIT } from '../exit-codes.ts';
import { formatBytes } from '../output/bytes.ts';
import type { Printer } from '../output/printer.ts';
import { renderTable } from '../output/table.ts';
import { appRow, appsOf, problemsOf } from './app-view.ts';

export async function clusterStatus(options: ClusterOptions, printer: Printer): Promise<number> {
  return withCluster(options, async (client, { platform, directory }) => {
    const [seen, apps] = await Promise.all([client.members(), appsOf(client)]);
    const members = directory === undefined ? seen : seen.map((member) => withDiskNow(member, directory));
    const problems = [...diskProblems(directory), ...memberProblems(members), ...apps.flatMap(problemsOf)];
    printer.result({ platform, members: members.map(memberJson), apps: apps.map(overviewJson), problems }, () =>
      [
        `platform ${platform}: ${members.length} node${members.length === 1 ? '' : 's'}, ${apps.length} app${apps.length === 1 ? '' : 's'}`,
        '',
        renderTable(
          ['NODE', 'HEALTH', 'ADDRESS', 'ACTIVE FOR', 'CPU', 'MEMORY', 'DISK', 'UP SINCE'],
          members.map(memberRow),
        ),
        ...(apps.length === 0
          ? []
          : ['', renderTable(['APP', 'ACTIVE', 'EPOCH', 'STANDBYS', 'LAG', 'PROBLEM'], apps.map(appRow))]),
        ...(problems.length === 0 ? [] : ['', ...problems.map((problem) => `! ${problem}`)]),
      ].join('\n'),
    );
    return problems.length === 0 ? EXIT.ok : EXIT.failed;
  });
}

function memberRow(member: MemberView): (string | number | undefined)[] {
  // What a silent member said last of what it serves is history: somebody else may serve it now.
  const known = member.health === 'alive' ? Object.entries(member.apps) : [];
  const active = known.flatMap(([name, app]) => (app.serving ? [name] : []));
  const percent = (part: number): string => `${Math.round(part * 100)}%`;
  return [
    member.id,
    member.health,
    member.http ?? member.address,
    active.join(', '),
    percent(member.load.cpu),
    percent(member.load.memory),
    percent(member.load.disk),
    new Date(member.startedAt).toISOString().replace(/\.\d+Z$/, 'Z'),
  ];
}

function memberJson(member: MemberView): object {
  const { id, health, address, http, labels, version, startedAt, apps, load, cordoned } = member;
  return { id, health, address, http, labels, version, startedAt, apps, load, cordoned };
}

/** Members say how full their disk is in a record that a full disk keeps from being stored: here it can be looked at. */
function withDiskNow(member: MemberView, directory: string): MemberView {
  const disk = diskSpace(join(directory, member.id, 'data'))?.used ?? member.load.disk;
  return { ...member, load: { ...member.load, disk } };
}

function diskProblems(directory: string | undefined): string[] {
  const space = directory === undefined ? undefined : diskSpace(directory);
  if (space?.full !== true) return [];
  const { freeBytes, totalBytes } = space;
  return [`the disk that holds ${directory} is full: ${formatBytes(freeBytes)} of ${formatBytes(totalBytes)} left`];
}

function memberProblems(members: readonly MemberView[]): string[] {
  return members.flatMap(({ id, health, ageMs }) =>
    health === 'alive'
      ? []
      : [
          `node ${id} is ${health}${ageMs < Number.MAX_SAFE_INTEGER ? `; last heard ${formatDuration(ageMs)} ago` : ''}`,
        ],
  );
}

/** The documented JSON form of an app. */
export function overviewJson(overview: AppOverview): object {
  return {
    app: overview.app,
    active: overview.active ?? null,
    epoch: overview.epoch ?? null,
    instances: overview.instances.map(({ node, status, error }) => ({
      node,
      ...(status === undefined ? {} : { status }),
      ...(error === undefined ? {} : { error: CanopyError.is(error) ? error.toJSON() : String(error) }),
    })),
  };
}
