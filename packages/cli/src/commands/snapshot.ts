/**
 * `canopy snapshot create|list|restore|delete`: named states of an app's database, and going back to them or to any point of
 * the log. Making one is the primary's; looking and restoring read the buckets themselves, so they work when no node does.
 */
import { formatPosition, hasCode, systemEnv } from '@canopy/core';
import type { NatsSession } from '@canopy/nats';
import type { ControlClient } from '@canopy/platform';
import { restore, SegmentLog, SnapshotStore, snapshotBucket } from '@canopy/sqlite';
import { type ClusterOptions, withCluster } from '../connect.ts';
import { cliErrors } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import type { Printer } from '../output/printer.ts';
import { progressLines } from '../output/progress.ts';
import { restoreTarget } from './restore-target.ts';
import { reachOf, restoredJson, restoredText, sizeText, snapshotJson, snapshotTable, time } from './snapshot-view.ts';
import { undisturbed } from './undisturbed.ts';

/** Unless the user says how long to wait. */
const CREATE_TIMEOUT_MS = 600_000;

export interface CreateSnapshotOptions extends ClusterOptions {
  readonly name?: string | undefined;
}

export async function createSnapshot(app: string, options: CreateSnapshotOptions, printer: Printer): Promise<number> {
  const { name, isTimeoutGiven, timeoutMs } = options;
  return withCluster(options, async (client) => {
    const made = await client.databases.createSnapshot(app, {
      ...(name === undefined ? {} : { name }),
      timeoutMs: isTimeoutGiven === true ? timeoutMs : CREATE_TIMEOUT_MS,
    });
    printer.result(snapshotJson(made), () =>
      [
        `snapshot ${made.id} of ${app}: as of ${time(made.timestamp)}, position ${formatPosition(made.position)}`,
        `${sizeText(made)}; stays until canopy snapshot delete ${app} ${made.id}`,
      ].join('\n'),
    );
    return EXIT.ok;
  });
}

export async function listSnapshots(app: string, options: ClusterOptions, printer: Printer): Promise<number> {
  return withCluster(options, async (client, { platform }, session) => {
    const log = await openLog(client, session, platform, app);
    const [store, entries] = await Promise.all([namedSnapshots(session, platform, app), log.all()]);
    const points = reachOf(entries);
    const snapshots = (await store?.list()) ?? [];
    printer.result({ snapshots: snapshots.map(snapshotJson), log: points ?? null }, () =>
      snapshotTable(snapshots, points, {
        none: `${app} has no named snapshots`,
        restore: `canopy snapshot restore ${app} --time T --to FILE`,
      }),
    );
    return EXIT.ok;
  });
}

export interface RestoreSnapshotOptions extends ClusterOptions {
  readonly to: string;
  readonly txid?: string | undefined;
  readonly time?: string | undefined;
  readonly overwrite?: boolean | undefined;
  readonly check: 'none' | 'quick' | 'full';
}

export async function restoreSnapshot(
  app: string,
  id: string | undefined,
  options: RestoreSnapshotOptions,
  printer: Printer,
): Promise<number> {
  const target = restoreTarget(options, 'snapshot restore');
  if (options.to === '')
    throw cliErrors.create('USAGE', { command: 'npx canopy snapshot restore', problem: '--to names no file' });
  if (id !== undefined && target !== undefined)
    throw cliErrors.create('USAGE', {
      command: 'npx canopy snapshot restore',
      problem: 'give the id of a snapshot, or --txid or --time, not both',
    });
  const { to: dest, overwrite = false, check } = options;
  const onProgress = progressLines(printer);
  const restored = await undisturbed({ what: 'the restore', bound: options }, (signal) =>
    withCluster({ ...options, signal }, async (client, { platform }, session) => {
      const given = { dest, overwrite, check, signal, onProgress };
      const log = await openLog(client, session, platform, app);
      return id === undefined
        ? restore({ ...given, log, target })
        : (await requireSnapshots(session, platform, app, id)).restore(id, given);
    }),
  );
  printer.result(restoredJson({ app, id: id ?? null }, dest, restored), () => restoredText(dest, restored, check));
  return EXIT.ok;
}

export async function deleteSnapshot(
  app: string,
  id: string,
  options: ClusterOptions,
  printer: Printer,
): Promise<number> {
  return withCluster(options, async (client) => {
    await client.databases.deleteSnapshot(app, id);
    printer.result({ app, id }, () => `snapshot ${id} of ${app} is deleted`);
    return EXIT.ok;
  });
}

/** Throws APP_UNKNOWN where there is no such app, BLOB_BUCKET_MISSING where its log is gone. */
async function openLog(
  client: ControlClient,
  session: NatsSession,
  platform: string,
  app: string,
): Promise<SegmentLog> {
  const { clock } = systemEnv();
  try {
    return new SegmentLog({ blobs: await session.blobs(`${platform}_${app}_wal`), clock });
  } catch (error) {
    if (hasCode(error, 'BLOB_BUCKET_MISSING')) await client.appStatus(app);
    throw error;
  }
}

/** Undefined: none was ever made. */
async function namedSnapshots(session: NatsSession, platform: string, app: string): Promise<SnapshotStore | undefined> {
  try {
    return new SnapshotStore({ blobs: await session.blobs(snapshotBucket(platform, app)), env: systemEnv() });
  } catch (error) {
    if (hasCode(error, 'BLOB_BUCKET_MISSING')) return undefined;
    throw error;
  }
}

async function requireSnapshots(
  session: NatsSession,
  platform: string,
  app: string,
  id: string,
): Promise<SnapshotStore> {
  const store = await namedSnapshots(session, platform, app);
  if (store === undefined) throw cliErrors.create('SNAPSHOT_UNKNOWN', { app, id });
  return store;
}
