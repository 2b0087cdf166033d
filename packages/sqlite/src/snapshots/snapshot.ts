/**
 * A named snapshot as its object describes it: one LTX file with every page, under an id of its own, in a bucket that no
 * retention touches. The headers are a persisted format.
 */
import { type Epoch, epoch, formatTxid, type Position } from '@canopy/core';
import type { BlobInfo } from '@canopy/nats';
import { sqliteErrors } from '../errors.ts';
import { type LogEntry, SNAPSHOT_LEVEL } from '../log/names.ts';

const EXTENSION = '.ltx';
const ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;

export interface NamedSnapshot {
  readonly id: string;
  /** What it shows. */
  readonly position: Position;
  /** Unix ms of the last transaction in it, at its writer. */
  readonly timestamp: number;
  /** When it was made, Unix ms, and on which node. */
  readonly createdAt: number;
  readonly node: string | undefined;
  /** Compressed, in the bucket. */
  readonly storedBytes: number;
  /** Of the database in it; undefined when that is not known. */
  readonly databaseBytes: number | undefined;
}

export interface SnapshotFacts {
  readonly txid: number;
  readonly epoch: Epoch;
  readonly node: string;
  readonly timestamp: number;
  readonly createdAt: number;
  readonly databaseBytes: number;
}

/** The bucket of an app's named snapshots. */
export function snapshotBucket(platform: string, app: string): string {
  return `${platform}_${app}_snapshots`;
}

/** Throws SQLITE_SNAPSHOT_NAME. */
export function checkSnapshotId(id: string): string {
  if (ID.test(id)) return id;
  throw sqliteErrors.create('SQLITE_SNAPSHOT_NAME', { id });
}

/** For a snapshot that was given no name: sorts by time. */
export function defaultSnapshotId(wallMs: number, txid: number): string {
  const time = new Date(wallMs).toISOString().replaceAll(/[-:]|\.\d+/g, '');
  return `${time}-${formatTxid(txid)}`;
}

export function objectName(id: string): string {
  return `${id}${EXTENSION}`;
}

export function snapshotHeaders(facts: SnapshotFacts): Record<string, string> {
  return {
    'Litestream-Timestamp': new Date(facts.timestamp).toISOString(),
    'Canopy-Epoch': String(facts.epoch),
    'Canopy-Txid': formatTxid(facts.txid),
    'Canopy-Node': facts.node,
    'Canopy-At': String(facts.createdAt),
    'Canopy-Bytes': String(facts.databaseBytes),
  };
}

/** Undefined for objects that are no snapshots of ours. */
export function snapshotOf(blob: BlobInfo): NamedSnapshot | undefined {
  const { headers, name } = blob;
  const txid = Number.parseInt(headers['Canopy-Txid'] ?? '', 16);
  if (!name.endsWith(EXTENSION) || !Number.isSafeInteger(txid) || txid < 1) return undefined;
  const held = Number(headers['Canopy-Epoch']);
  const timestamp = Date.parse(headers['Litestream-Timestamp'] ?? '');
  const databaseBytes = Number(headers['Canopy-Bytes']);
  return {
    id: name.slice(0, -EXTENSION.length),
    position: { epoch: epoch(Number.isSafeInteger(held) && held > 0 ? held : 0), txid },
    timestamp: Number.isFinite(timestamp) ? timestamp : blob.writtenAt,
    createdAt: Number(headers['Canopy-At']) || blob.writtenAt,
    node: headers['Canopy-Node'],
    storedBytes: blob.size,
    databaseBytes: Number.isSafeInteger(databaseBytes) && databaseBytes > 0 ? databaseBytes : undefined,
  };
}

/** As a full image of a log, for what reads logs. */
export function asImage(blob: BlobInfo, snapshot: NamedSnapshot): LogEntry {
  return {
    level: SNAPSHOT_LEVEL,
    minTxid: 1,
    maxTxid: snapshot.position.txid,
    name: blob.name,
    revision: blob.revision,
    size: blob.size,
    epoch: snapshot.position.epoch,
    node: snapshot.node,
    kind: 'snapshot',
    timestamp: snapshot.timestamp,
    storedAt: blob.writtenAt,
    digest: undefined,
    walEnd: undefined,
    note: undefined,
  };
}
