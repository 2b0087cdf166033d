/**
 * What the database file on this node is, judged from the file, the state kept beside it and the log. The log is the
 * truth about what was shipped; the local WAL can prove that nothing else was committed; whatever neither proves is
 * called unproven and never thrown away.
 */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { type Position, START } from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import type { LogEntry } from '../log/names.ts';
import type { SegmentLog } from '../log/segment-log.ts';
import { type FileHeader, HEADER_SIZE, readFileHeader } from '../standby/page-one.ts';
import { FRAME_HEADER_SIZE, parseWalHeader, WAL_HEADER_SIZE, type WalHeader } from '../wal/header.ts';
import { startOf, type WalCursor, WalReader } from '../wal/reader.ts';
import { type Continuation, continuationOf } from './continuation.ts';
import { type CleanLeave, type PrimaryState, readState, type StandbyState } from './state-file.ts';
import { wrapFileError } from './system-errors.ts';

export type LocalFile =
  | { readonly kind: 'none' }
  /** Data whose place in the log nobody knows. */
  | { readonly kind: 'foreign' }
  | { readonly kind: 'replica'; readonly state: StandbyState }
  /** Was primary; everything it committed is in the log. `cursor`: where its WAL ends. */
  | { readonly kind: 'shipped'; readonly position: Position; readonly cursor: WalCursor | undefined }
  /** Was primary; the WAL holds commits behind `cursor` that the log does not have. */
  | { readonly kind: 'ahead'; readonly position: Position; readonly cursor: WalCursor; readonly movedOn: boolean }
  /** Was primary; whether there are more commits than those shipped can't be told from the WAL. */
  | {
      readonly kind: 'unproven';
      readonly position: Position;
      readonly movedOn: boolean;
      /** The machine went down since: it may also have fewer. `position` is the last that the WAL still reaches, if any. */
      readonly mayHaveLost?: boolean;
      /** Of the file as it is, where the log has not moved on: see continuation.ts. */
      readonly continuation?: Continuation;
    };

/** The header of the file at `path`; undefined when there is none or it is empty. Throws SQLITE_NOT_A_DATABASE. */
export function readHeaderOf(path: string): FileHeader | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined || (stat.isFile() && stat.size === 0)) return undefined;
  const bytes = new Uint8Array(HEADER_SIZE);
  try {
    const fd = openSync(path, 'r+');
    try {
      readSync(fd, bytes, 0, HEADER_SIZE, 0);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw wrapFileError(error, path);
  }
  const header = readFileHeader(bytes);
  if (header === undefined) throw sqliteErrors.create('SQLITE_NOT_A_DATABASE', { path });
  return header;
}

/** 0 where there is no file. */
export function inodeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.ino ?? 0;
}

/** Must not be called while this process has the database open: its descriptors here come and go. */
export async function inspectFile(
  path: string,
  statePath: string,
  log: SegmentLog,
  boot: string,
  signal?: AbortSignal,
): Promise<LocalFile> {
  const header = readHeaderOf(path);
  if (header === undefined) return { kind: 'none' };
  const state = readState(statePath);
  if (state === undefined) return { kind: 'foreign' };
  if (state.role === 'standby') return { kind: 'replica', state };
  if (inodeOf(path) !== state.inode) return { kind: 'foreign' };
  const entries = await log.history({ signal });
  const found = inspectFormer(path, header, state, entries);
  // Its WAL may have lost what is in the log: gone on with, the file would take that back.
  const mayHaveLost = state.boot === undefined ? false : state.boot === '' || state.boot !== boot;
  if (found.kind !== 'unproven') return found;
  const isCompared = !mayHaveLost && !found.movedOn;
  const continuation = isCompared ? await continuationOf(path, log, found.position, signal) : undefined;
  if (mayHaveLost || continuation === 'behind') {
    const position = lastReached(path, state, entries) ?? found.position;
    return { ...found, position, mayHaveLost: true, ...(continuation && { continuation }) };
  }
  return continuation === undefined ? found : { ...found, continuation };
}

/**
 * The newest entry of ours whose end the WAL still reaches: where nothing was committed since, the file is there. A guess
 * that the pages must confirm. Undefined when the WAL has none.
 */
function lastReached(
  path: string,
  { claimed, node }: PrimaryState,
  entries: readonly LogEntry[],
): Position | undefined {
  let fd: number;
  try {
    fd = openSync(`${path}-wal`, 'r');
  } catch {
    return undefined;
  }
  try {
    const reader = new WalReader(fd);
    const header = reader.header();
    if (header === undefined) return undefined;
    let end = startOf(header);
    for (;;) {
      const batch = reader.read(end);
      if (batch.type !== 'batch' || batch.transactions === 0) break;
      end = batch.end;
    }
    const last = entries.findLast(
      ({ epoch, node: by, walEnd }) =>
        epoch === claimed.epoch &&
        by === node &&
        walEnd?.salt1 === header.salt1 &&
        walEnd.salt2 === header.salt2 &&
        walEnd.offset <= end.offset,
    );
    return last === undefined ? undefined : { epoch: last.epoch, txid: last.maxTxid };
  } finally {
    closeSync(fd);
  }
}

function inspectFormer(path: string, header: FileHeader, state: PrimaryState, entries: readonly LogEntry[]): LocalFile {
  const ours = entries.findLast((entry) => entry.epoch === state.claimed.epoch && entry.node === state.node);
  const last = ours ?? entries.find((entry) => entry.maxTxid === state.base.txid && entry.epoch === state.base.epoch);
  const end = entries.at(-1)?.maxTxid ?? 0;
  if (last === undefined) {
    const known = state.base.txid === 0 && end > 0 ? START : state.base;
    return known.txid === 0 ? { kind: 'foreign' } : { kind: 'unproven', position: known, movedOn: end > known.txid };
  }
  const position = { epoch: last.epoch, txid: last.maxTxid };
  const movedOn = end > last.maxTxid;
  if (header.mode === 'rollback') {
    const untouched = header.counter === state.counter && last.maxTxid <= state.claimed.txid;
    return untouched ? { kind: 'shipped', position, cursor: undefined } : { kind: 'unproven', position, movedOn };
  }
  const { clean } = state;
  const isLast = clean?.txid === last.maxTxid && clean.epoch === last.epoch;
  const proof = isLast && isUntouched(path, clean) ? sinceClean(path, clean) : proveByEntry(path, last, state.node);
  if (proof === 'nothing') return { kind: 'shipped', position, cursor: undefined };
  if (proof === undefined) return { kind: 'unproven', position, movedOn };
  return proof.more
    ? { kind: 'ahead', position, cursor: proof.cursor, movedOn }
    : { kind: 'shipped', position, cursor: proof.cursor };
}

/** Nothing was copied from the WAL into the file since. */
function isUntouched(path: string, clean: CleanLeave): boolean {
  const now = statSync(path, { bigint: true });
  return Number(now.size) === clean.size && String(now.mtimeNs) === clean.mtimeNs;
}

/**
 * What was committed since the file was left: nothing where no WAL is left, else what was appended to it, or what the one
 * generation since then has. A second one would have needed the file.
 */
function sinceClean(
  path: string,
  { cursor: end }: CleanLeave,
): 'nothing' | { cursor: WalCursor; more: boolean } | undefined {
  const wal = statSync(`${path}-wal`, { throwIfNoEntry: false });
  if (wal === undefined || wal.size === 0) return 'nothing';
  const fd = openSync(`${path}-wal`, 'r');
  try {
    const reader = new WalReader(fd);
    const header = reader.header();
    if (header === undefined) return undefined;
    const isSame = header.salt1 === end.salt1 && header.salt2 === end.salt2;
    if (!isSame && header.salt1 !== (end.salt1 + 1) >>> 0) return undefined;
    const cursor = isSame ? end : startOf(header);
    const scan = reader.read(cursor);
    return scan.type === 'batch' ? { cursor, more: scan.transactions > 0 } : undefined;
  } finally {
    closeSync(fd);
  }
}

function proveByEntry(path: string, last: LogEntry, node: string): { cursor: WalCursor; more: boolean } | undefined {
  return last.node === node ? proveWal(path, last) : undefined;
}

/** Whether the WAL goes on behind the entry's end; undefined when the WAL can't tell. */
function proveWal(path: string, last: LogEntry): { cursor: WalCursor; more: boolean } | undefined {
  let fd: number;
  try {
    fd = openSync(`${path}-wal`, 'r');
  } catch {
    return undefined;
  }
  try {
    const bytes = new Uint8Array(WAL_HEADER_SIZE);
    const header = parseWalHeader(bytes.subarray(0, readSync(fd, bytes, 0, WAL_HEADER_SIZE, 0)));
    if (header === undefined || last.walEnd === undefined) return undefined;
    const cursor = cursorAt(fd, header, last.walEnd);
    if (cursor === undefined) return undefined;
    const reader = new WalReader(fd);
    const scan = reader.read(cursor);
    if (scan.type === 'restarted' && scan.contiguous) {
      const fresh = reader.read(scan.next);
      return fresh.type === 'batch' ? { cursor: scan.next, more: fresh.transactions > 0 } : undefined;
    }
    if (scan.type !== 'batch') return undefined;
    return { cursor, more: scan.transactions > 0 };
  } finally {
    closeSync(fd);
  }
}

/** The cursor at an entry's end, where the WAL still proves that it was read up to there. */
function cursorAt(fd: number, header: WalHeader, end: NonNullable<LogEntry['walEnd']>): WalCursor | undefined {
  const found = placeOf(fd, header, end);
  const { chain = found } = end;
  // Other commits, made after the machine had lost ours, may end at the very same place.
  return found?.checksum1 === chain?.checksum1 && found?.checksum2 === chain?.checksum2 ? found : undefined;
}

function placeOf(fd: number, header: WalHeader, end: NonNullable<LogEntry['walEnd']>): WalCursor | undefined {
  const start = startOf(header);
  // An entry without frames names no generation, and a WAL that was removed and made anew looks like the first one.
  if (end.salt1 === 0 && end.salt2 === 0) return undefined;
  if (end.salt1 === start.salt1 && end.salt2 === start.salt2) return cursorInGeneration(fd, start, end.offset);
  if (end.offset === WAL_HEADER_SIZE) return undefined;
  const frame = new Uint8Array(FRAME_HEADER_SIZE);
  const at = end.offset - FRAME_HEADER_SIZE - header.pageSize;
  if (at < WAL_HEADER_SIZE || readSync(fd, frame, 0, FRAME_HEADER_SIZE, at) < FRAME_HEADER_SIZE) return undefined;
  const view = new DataView(frame.buffer);
  if (view.getUint32(8) !== end.salt1 || view.getUint32(12) !== end.salt2) return undefined;
  return {
    ...start,
    offset: end.offset,
    salt1: end.salt1,
    salt2: end.salt2,
    checksum1: view.getUint32(16),
    checksum2: view.getUint32(20),
  };
}

/** The chain from the first frame must reach the end: after a crash of the machine a frame in between may be missing. */
function cursorInGeneration(fd: number, start: WalCursor, offset: number): WalCursor | undefined {
  const reader = new WalReader(fd);
  let cursor = start;
  while (cursor.offset < offset) {
    const batch = reader.scan(cursor, offset);
    if (batch === undefined || batch.transactions === 0) return undefined;
    cursor = batch.end;
  }
  return cursor.offset === offset ? cursor : undefined;
}
