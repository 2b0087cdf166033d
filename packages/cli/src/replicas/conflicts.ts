/** `canopy replication conflicts|resolve|hot`: what masters wrote without knowing of each other, and the decision. */
import { readFileSync } from 'node:fs';
import { messageOf, systemEnv } from '@canopy/core';
import {
  type ConflictReport,
  type Decision,
  type HotReport,
  type ReportedConflict,
  replicationErrors,
} from '@canopy/replication';
import { cliErrors } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { ago } from '../output/ago.ts';
import type { Printer } from '../output/printer.ts';
import { type Cell, renderTable } from '../output/table.ts';
import { findingLines, look, type NamespaceOptions, silence, withAdmin } from './asking.ts';

export interface ConflictsOptions extends NamespaceOptions {
  readonly limit: number;
}

export function listConflicts(
  entityId: string | undefined,
  options: ConflictsOptions,
  printer: Printer,
): Promise<number> {
  return look(options, printer, async (admin) => {
    const report = await admin.conflicts({ entityId, limit: options.limit });
    const { conflicts, silent, namespace } = report;
    if (entityId !== undefined && conflicts.length === 0 && silent.length === 0)
      throw replicationErrors.create('CONFLICT_UNKNOWN', { entityId, node: `nobody in ${namespace}` });
    const text = (): string => (entityId === undefined ? listText(report, options.limit) : detailText(report));
    return { data: report, text, isWell: silent.length === 0 };
  });
}

export function listText({ conflicts, more, silent }: ConflictReport, limit: number): string {
  const now = systemEnv().clock.wall();
  const rows = conflicts.slice(0, limit).map(({ entityId, versions, pendingOn, detectedAt }): Cell[] => {
    const by = versions.map(({ masterId }) => masterId).join(', ');
    return [
      entityId,
      pendingOn.length === 0 ? 'settled' : `waits on ${pendingOn.join(', ')}`,
      by,
      ago(detectedAt, now),
    ];
  });
  const table = rows.length === 0 ? 'no conflicts' : renderTable(['ENTITY', 'STATE', 'VERSIONS BY', 'DETECTED'], rows);
  const beyond = Object.entries(more).map(([node, count]) => `${node} has ${count} more: give --limit, or an entity`);
  return [table, ...(beyond.length === 0 ? [] : ['', ...beyond]), ...findingLines(silence(silent))].join('\n');
}

export function detailText({ conflicts, silent }: ConflictReport): string {
  return [...conflicts.map(oneText), ...findingLines(silence(silent))].join('\n');
}

function oneText({ entityId, versions, pendingOn, detectedAt, on }: ReportedConflict): string {
  const state = pendingOn.length === 0 ? `settled; ${on.join(', ')} remember it` : `waits on ${pendingOn.join(', ')}`;
  const now = systemEnv().clock.wall();
  const rows = versions.map(({ masterId, data, vectorClock, timestamp }): Cell[] => {
    const clock = Object.entries(vectorClock).map(([node, count]) => `${node}:${count}`);
    return [
      masterId,
      new Date(timestamp).toISOString(),
      clock.join(' '),
      data === null ? '(deleted)' : JSON.stringify(data),
    ];
  });
  return [
    `${entityId}: ${state}, detected ${ago(detectedAt, now)}`,
    '',
    renderTable(['MASTER', 'WRITTEN', 'CLOCK', 'DATA'], rows),
  ].join('\n');
}

export interface ResolveOptions extends NamespaceOptions {
  readonly data?: string | undefined;
  readonly file?: string | undefined;
  readonly pick?: string | undefined;
  readonly delete?: boolean | undefined;
  readonly node?: string | undefined;
}

export async function resolveConflict(entityId: string, options: ResolveOptions, printer: Printer): Promise<number> {
  const decision = decisionOf(options);
  return withAdmin(options, async (admin) => {
    const { node, data } = await admin.resolve(entityId, decision, { node: options.node });
    const what = data === null ? 'deleted' : JSON.stringify(data);
    printer.result({ entityId, node, data }, () => `${entityId}: decided on ${node}, for all masters: ${what}`);
    return EXIT.ok;
  });
}

/** Throws USAGE. */
export function decisionOf({ data, file, pick, delete: deletes }: ResolveOptions): Decision {
  const wrong = (problem: string): Error =>
    cliErrors.create('USAGE', { command: 'npx canopy replication resolve', problem });
  const given = [data, file, pick, deletes === true ? '' : undefined].filter((one) => one !== undefined);
  if (given.length !== 1) throw wrong('give one of --data, --file, --pick and --delete');
  if (deletes === true) return { data: null };
  if (pick !== undefined) return { pick };
  const source = file === undefined ? '--data' : file;
  let value: unknown;
  try {
    value = JSON.parse(file === undefined ? (data as string) : readFileSync(file, 'utf8'));
  } catch (error) {
    throw wrong(`${source} can not be read as JSON: ${messageOf(error)}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw wrong(`${source} must be a JSON object, such as '{"items":["milk"]}'`);
  return { data: value as Readonly<Record<string, unknown>> };
}

export function hotEntities(options: NamespaceOptions & { readonly top: number }, printer: Printer): Promise<number> {
  return look(options, printer, async (admin) => {
    const report = await admin.hot({ limit: options.top });
    const isWell = report.silent.length === 0 && !report.masters.some(({ isStorm }) => isStorm);
    return { data: report, text: () => hotText(report), isWell };
  });
}

export function hotText({ masters, entities, silent }: HotReport): string {
  const rates = masters.map(({ node, conflicts, eventsApplied, rate, isStorm }): Cell[] => {
    return [node, conflicts, eventsApplied, `${(100 * rate).toFixed(1)}%`, isStorm ? 'conflict storm' : 'ok'];
  });
  const spots = entities.map(({ entityId, conflicts, atMost, node }): Cell[] => {
    return [entityId, atMost === 0 ? conflicts : `${conflicts - atMost} to ${conflicts}`, node];
  });
  const storms = masters
    .filter(({ isStorm }) => isStorm)
    .map(({ node, rate }) => {
      const percent = (100 * rate).toFixed(1);
      const advice = 'write such an entity on one master, or use values that merge';
      return { node, message: `conflict storm: ${percent} % of its events were conflicts; ${advice}` };
    });
  return [
    renderTable(['MASTER', 'CONFLICTS', 'EVENTS', 'RATE', 'STATE'], rates),
    '',
    spots.length === 0 ? 'no entity was in conflict' : renderTable(['ENTITY', 'CONFLICTS', 'MOST ON'], spots),
    ...findingLines([...storms, ...silence(silent)]),
  ].join('\n');
}
