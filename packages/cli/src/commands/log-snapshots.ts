/** `canopy db snapshot create|list|restore|delete`: named states of a log, without a platform. */
import { mkdtemp, rm } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatPosition } from '@canopy/core';
import { type OpenedSnapshots, openSnapshots, type SnapshotStore, type StoreOption } from '@canopy/sqlite';
import { cliErrors } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import type { Printer } from '../output/printer.ts';
import { progressLines } from '../output/progress.ts';
import { reachOf, restoredJson, restoredText, sizeText, snapshotJson, snapshotTable, time } from './snapshot-view.ts';
import { type Bound, undisturbed } from './undisturbed.ts';

export interface LogSnapshotOptions {
  readonly store: StoreOption;
  readonly bound: Bound;
}

export async function createLogSnapshot(
  name: string | undefined,
  options: LogSnapshotOptions & { readonly node?: string | undefined; readonly scratch?: string | undefined },
  printer: Printer,
): Promise<number> {
  const { store, bound, node = hostname(), scratch = tmpdir() } = options;
  const onProgress = progressLines(printer);
  const made = await undisturbed({ what: 'the snapshot', bound }, async (signal) => {
    const opened = await openSnapshots({ store, signal, make: true });
    const directory = await mkdtemp(join(scratch, 'canopy-snapshot-')).catch(async (error: Error) => {
      await opened.close();
      throw cliErrors.create('DIRECTORY_UNWRITABLE', { directory: scratch, reason: error.message }, error);
    });
    try {
      const snapshots = opened.snapshots as SnapshotStore;
      return await snapshots.create({ log: opened.log, node, name, scratch: directory, signal, onProgress });
    } finally {
      await rm(directory, { recursive: true, force: true });
      await opened.close();
    }
  });
  printer.result(snapshotJson(made), () =>
    [
      `snapshot ${made.id}: as of ${time(made.timestamp)}, position ${formatPosition(made.position)}`,
      `${sizeText(made)}; stays until canopy db snapshot delete ${made.id} --store PLACE`,
    ].join('\n'),
  );
  return EXIT.ok;
}

export async function listLogSnapshots({ store, bound }: LogSnapshotOptions, printer: Printer): Promise<number> {
  const { list, points } = await withSnapshots('the listing', { store, bound }, async ({ log, snapshots }, signal) => {
    const [named, entries] = await Promise.all([snapshots?.list({ signal }) ?? [], log.all({ signal })]);
    return { list: named, points: reachOf(entries) };
  });
  printer.result({ snapshots: list.map(snapshotJson), log: points ?? null }, () =>
    snapshotTable(list, points, {
      none: 'there are no named snapshots',
      restore: 'canopy db restore --store PLACE --time T --to FILE',
    }),
  );
  return EXIT.ok;
}

export async function restoreLogSnapshot(
  id: string,
  options: LogSnapshotOptions & {
    readonly to: string;
    readonly overwrite?: boolean | undefined;
    readonly check: 'none' | 'quick' | 'full';
  },
  printer: Printer,
): Promise<number> {
  const { to: dest, overwrite = false, check } = options;
  if (dest === '')
    throw cliErrors.create('USAGE', { command: 'npx canopy db snapshot restore', problem: '--to names no file' });
  const onProgress = progressLines(printer);
  const restored = await withSnapshots('the restore', options, async ({ snapshots }, signal) =>
    (await required(snapshots, id)).restore(id, { dest, overwrite, check, signal, onProgress }),
  );
  printer.result(restoredJson({ id }, dest, restored), () => restoredText(dest, restored, check));
  return EXIT.ok;
}

export async function deleteLogSnapshot(id: string, options: LogSnapshotOptions, printer: Printer): Promise<number> {
  await withSnapshots('the deletion', options, async ({ snapshots }, signal) =>
    (await required(snapshots, id)).delete(id, { signal }),
  );
  printer.result({ id }, () => `snapshot ${id} is deleted`);
  return EXIT.ok;
}

function withSnapshots<T>(
  what: string,
  { store, bound }: LogSnapshotOptions,
  work: (opened: OpenedSnapshots, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  return undisturbed({ what, bound }, async (signal) => {
    const opened = await openSnapshots({ store, signal });
    try {
      return await work(opened, signal);
    } finally {
      await opened.close();
    }
  });
}

async function required(snapshots: SnapshotStore | undefined, id: string): Promise<SnapshotStore> {
  if (snapshots !== undefined) return snapshots;
  throw cliErrors.create('LOG_SNAPSHOT_UNKNOWN', { id });
}
