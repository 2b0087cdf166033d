/**
 * What the log's objects are called and what their headers say. Names and `Litestream-Timestamp` are Litestream's, so
 * that its tools read our bucket; the `Canopy-*` headers are ours and ignored by it. Persisted: must not change.
 */
import { assert, type Epoch, epoch, formatTxid, parseTxid } from '@canopy/core';
import type { BlobInfo } from '@canopy/nats';
import { parseLogId } from './identity.ts';

export const ROOT = 'ltx/';
export const SEGMENTS = 'ltx/0/';
export const SNAPSHOT_LEVEL = 9;
export const SNAPSHOTS = 'ltx/9/';

/**
 * `claim`: written by a new primary to take the log; `commit`: transactions; `snapshot`: it has every page, so a restore may
 * begin with it, whatever its level. Also a claim that is a full image is a `snapshot`, and what begins with one.
 */
export type EntryKind = 'claim' | 'commit' | 'snapshot';

export interface LogName {
  readonly level: number;
  readonly minTxid: number;
  readonly maxTxid: number;
}

/** One object of the log, as its name and headers describe it. */
export interface LogEntry extends LogName {
  readonly name: string;
  /** The bucket's revision at which it was stored. */
  readonly revision: number;
  /** Compressed bytes. */
  readonly size: number;
  /** Epoch 0 and node undefined: another program (Litestream) wrote it. */
  readonly epoch: Epoch;
  readonly node: string | undefined;
  readonly kind: EntryKind;
  /** Unix ms at the writer, from the LTX header. */
  readonly timestamp: number;
  /** Unix ms at the server when it was stored. */
  readonly storedAt: number;
  /** SHA-256 of the bytes in hex; undefined for streamed objects. */
  readonly digest: string | undefined;
  /** Where in the writer's WAL the entry ends; undefined when it has no place there. */
  readonly walEnd: WalEnd | undefined;
  /** As given by the writer's `note`: free text that travels with the entry. */
  readonly note: string | undefined;
  /** Which log it was written into; undefined: its writer did not know. */
  readonly logId?: string | undefined;
}

export interface WalEnd {
  readonly salt1: number;
  readonly salt2: number;
  readonly offset: number;
  /** The WAL's running checksum there: other frames that happen to end at the same place have another. */
  readonly chain?: WalChain | undefined;
}

export interface WalChain {
  readonly checksum1: number;
  readonly checksum2: number;
}

export function formatName({ level, minTxid, maxTxid }: LogName): string {
  return `${ROOT}${level}/${formatTxid(minTxid)}-${formatTxid(maxTxid)}.ltx`;
}

/** Name of the level-0 object of one transaction. */
export function segmentName(txid: number): string {
  return formatName({ level: 0, minTxid: txid, maxTxid: txid });
}

/** Undefined for objects that are not part of the log. */
export function parseName(name: string): LogName | undefined {
  const match = /^ltx\/([0-9])\/([0-9a-f]{16})-([0-9a-f]{16})\.ltx$/.exec(name);
  if (match === null) return undefined;
  const level = Number(match[1]);
  const minTxid = parseTxid(match[2] as string);
  const maxTxid = parseTxid(match[3] as string);
  if (minTxid === undefined || maxTxid === undefined || minTxid < 1 || maxTxid < minTxid) return undefined;
  if (level === SNAPSHOT_LEVEL && minTxid !== 1) return undefined;
  return { level, minTxid, maxTxid };
}

export interface EntryFacts {
  readonly epoch: Epoch;
  readonly node: string;
  readonly kind: EntryKind;
  readonly timestamp: number;
  readonly digest: string | undefined;
  readonly walEnd: WalEnd | undefined;
  readonly note: string | undefined;
  readonly logId?: string | undefined;
}

export function entryHeaders(facts: EntryFacts): Record<string, string> {
  const headers: Record<string, string> = {
    'Litestream-Timestamp': new Date(facts.timestamp).toISOString(),
    'Canopy-Epoch': String(facts.epoch),
    'Canopy-Node': facts.node,
    'Canopy-Kind': facts.kind,
  };
  if (facts.digest !== undefined) headers['Canopy-Digest'] = facts.digest;
  if (facts.walEnd !== undefined)
    headers['Canopy-Wal-End'] = `${facts.walEnd.salt1} ${facts.walEnd.salt2} ${facts.walEnd.offset}`;
  if (facts.walEnd?.chain !== undefined)
    headers['Canopy-Wal-Chain'] = `${facts.walEnd.chain.checksum1} ${facts.walEnd.chain.checksum2}`;
  if (facts.note !== undefined) headers['Canopy-Note'] = facts.note;
  if (facts.logId !== undefined) headers['Canopy-Log'] = facts.logId;
  return headers;
}

/** The entry behind an object; undefined when its name is none of the log's. Damaged headers read as another program's. */
export function entryOf(blob: BlobInfo): LogEntry | undefined {
  const name = parseName(blob.name);
  if (name === undefined) return undefined;
  const { headers } = blob;
  const held = Number(headers['Canopy-Epoch']);
  const ours = Number.isSafeInteger(held) && held > 0;
  const timestamp = Date.parse(headers['Litestream-Timestamp'] ?? '');
  const kind = headers['Canopy-Kind'];
  return {
    ...name,
    name: blob.name,
    revision: blob.revision,
    size: blob.size,
    epoch: epoch(ours ? held : 0),
    node: ours ? headers['Canopy-Node'] : undefined,
    kind: name.minTxid === 1 || kind === 'snapshot' ? 'snapshot' : kind === 'claim' ? 'claim' : 'commit',
    timestamp: Number.isFinite(timestamp) ? timestamp : blob.writtenAt,
    storedAt: blob.writtenAt,
    digest: headers['Canopy-Digest'],
    walEnd: walEndOf(headers['Canopy-Wal-End'], headers['Canopy-Wal-Chain']),
    note: headers['Canopy-Note'],
    logId: parseLogId(headers['Canopy-Log']),
  };
}

/** The entry behind an object that the log's own code named. */
export function asEntry(info: BlobInfo): LogEntry {
  const entry = entryOf(info);
  assert(entry !== undefined, `object ${info.name} has no name of the log`);
  return entry;
}

function walEndOf(text: string | undefined, sums: string | undefined): WalEnd | undefined {
  const match = /^(\d+) (\d+) (\d+)$/.exec(text ?? '');
  if (match === null) return undefined;
  const end = { salt1: Number(match[1]), salt2: Number(match[2]), offset: Number(match[3]) };
  const chain = /^(\d+) (\d+)$/.exec(sums ?? '');
  return chain === null ? end : { ...end, chain: { checksum1: Number(chain[1]), checksum2: Number(chain[2]) } };
}

/** The beginning of the history, alone or merged: a full copy of the database that is no snapshot. */
export function isFirstCopy({ minTxid, level }: LogEntry): boolean {
  return minTxid === 1 && level < SNAPSHOT_LEVEL;
}

/** When the newest of them was stored, Unix ms. */
export function firstCopyAt(entries: readonly LogEntry[]): number | undefined {
  const copies = entries.filter(isFirstCopy);
  return copies.length === 0 ? undefined : Math.max(...copies.map(({ storedAt }) => storedAt));
}
