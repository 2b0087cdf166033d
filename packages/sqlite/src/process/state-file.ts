/**
 * What this node knows about its database file, kept beside it in `{db}-canopy/state.json` and replaced atomically:
 * whether the file follows the log (and from where to where the apply under way leads) or was being written as primary.
 * Invariant: it is written before the file changes in the way it describes, so after a crash the file is in one of the
 * states that it names, or it is not trusted. Persisted format: only add fields.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { formatPosition, type Position, parsePosition } from '@canopy/core';
import { parseLogId } from '../log/identity.ts';
import type { WalCursor } from '../wal/reader.ts';

/** What a disk writes whole or not at all. */
const SECTOR = 512;

/** The log that a file is of. */
export interface KnownLog {
  readonly id: string;
  /** The bucket or directory in which it was last. */
  readonly store?: string | undefined;
}

export interface StandbyState {
  readonly role: 'standby';
  /** The file is at `from` while its change counter is `counterBefore`, at `to` when it is `counterAfter`. */
  readonly from: Position;
  readonly to: Position;
  readonly counterBefore: number;
  readonly counterAfter: number;
  /** Everything was flushed to the disk: the file may be trusted even after the machine went down. */
  readonly durable: boolean;
  /** The machine's boot during which this was written. */
  readonly boot: string;
  readonly log?: KnownLog;
}

export interface PrimaryState {
  readonly role: 'primary';
  /** The epoch that it writes under and the position of its claim, which may not have been stored yet. */
  readonly claimed: Position;
  /** The node's name then; it may have another by now. */
  readonly node: string;
  /** The log's end before the claim; the file contains everything up to it. */
  readonly base: Position;
  /** Of the file that was written: another one in its place is not what the log knows. */
  readonly inode: number;
  /** The change counter before the file was switched to WAL: unchanged means that the switch never happened. */
  readonly counter: number;
  /** The claim is in the log for certain: a log without it has lost its past. */
  readonly stored?: boolean;
  /** The machine's boot in which it was written; another one means that the file may have lost what the log has. */
  readonly boot?: string;
  /** How the file was left by a primary that had shipped everything and did not switch it back. */
  readonly clean?: CleanLeave;
  readonly log?: KnownLog;
}

/**
 * The whole WAL was in the file when this was written, nobody could write then, and the file had not been written to for
 * longer than its time stamp can tell: a file with the same stamp has had nothing copied into it since.
 */
export interface CleanLeave {
  readonly txid: number;
  readonly epoch: number;
  readonly size: number;
  /** Nanoseconds, as text: more than a double holds. */
  readonly mtimeNs: string;
  /** The WAL's end at that time. */
  readonly cursor: WalCursor;
}

export type FileState = StandbyState | PrimaryState;

export function readState(path: string): FileState | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  return decodeState(text);
}

/** Undefined for anything that is not a complete record: an untrusted file is examined, never believed. */
export function decodeState(text: string): FileState | undefined {
  let data: Record<string, unknown>;
  try {
    data = JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
  if (data === null || typeof data !== 'object') return undefined;
  const log = logOf(data.log);
  if (data.role === 'primary') {
    const claimed = parsePosition(String(data.claimed));
    const base = parsePosition(String(data.base));
    if (claimed === undefined || base === undefined || typeof data.counter !== 'number') return undefined;
    const { counter } = data;
    const facts = { claimed, base, node: String(data.node), inode: Number(data.inode), counter };
    const clean = cleanOf(data.clean);
    return {
      role: 'primary',
      ...facts,
      ...(data.stored === true ? { stored: true } : {}),
      ...(typeof data.boot === 'string' ? { boot: data.boot } : {}),
      ...(clean === undefined ? {} : { clean }),
      ...log,
    };
  }
  const from = parsePosition(String(data.from));
  const to = parsePosition(String(data.to));
  if (data.role !== 'standby' || from === undefined || to === undefined) return undefined;
  if (typeof data.counterBefore !== 'number' || typeof data.counterAfter !== 'number') return undefined;
  return {
    role: 'standby',
    from,
    to,
    counterBefore: data.counterBefore,
    counterAfter: data.counterAfter,
    durable: data.durable === true,
    boot: String(data.boot ?? ''),
    ...log,
  };
}

function logOf(data: unknown): { log?: KnownLog } {
  const { id, store } = (data ?? {}) as Record<string, unknown>;
  const known = parseLogId(id);
  if (known === undefined) return {};
  return { log: typeof store === 'string' ? { id: known, store } : { id: known } };
}

function cleanOf(data: unknown): CleanLeave | undefined {
  const { txid, epoch, size, mtimeNs, cursor } = (data ?? {}) as Record<string, unknown>;
  const { offset, salt1, salt2, checksum1, checksum2, pageSize, bigEndian } = (cursor ?? {}) as Record<string, unknown>;
  const numbers = [txid, epoch, size, offset, salt1, salt2, checksum1, checksum2, pageSize];
  const isWhole = numbers.every((value) => Number.isSafeInteger(value));
  return isWhole && typeof mtimeNs === 'string' && typeof bigEndian === 'boolean' ? (data as CleanLeave) : undefined;
}

export function encodeState(state: FileState): string {
  const shown =
    state.role === 'primary'
      ? { ...state, claimed: formatPosition(state.claimed), base: formatPosition(state.base) }
      : { ...state, from: formatPosition(state.from), to: formatPosition(state.to) };
  const text = JSON.stringify({ version: 1, ...shown });
  if (state.role !== 'standby') return `${text}\n`;
  // The store is for people; that the record fits a sector is what keeps it whole.
  if (Buffer.byteLength(text) >= SECTOR && state.log?.store !== undefined)
    return encodeState({ ...state, log: { id: state.log.id } });
  return `${text}${' '.repeat(Math.max(0, SECTOR - 1 - Buffer.byteLength(text)))}\n`;
}

/** Replaces the record. With `flush` it survives the machine's death, else only the process's. */
export function writeState(path: string, state: FileState, options: { flush?: boolean } = {}): void {
  if (!options.flush && state.role === 'standby' && overwriteSector(path, encodeState(state))) return;
  const temporary = `${path}.tmp`;
  const fd = openSync(temporary, 'w', 0o644);
  try {
    writeSync(fd, encodeState(state));
    if (options.flush) fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, path);
  if (options.flush) flushDirectory(dirname(path));
}

/**
 * Writes over a record of the same size, one sector, which a disk has before or after. A file that takes another's place
 * without a flush may be there without its content after a loss of power, and would leave the database without a state.
 */
function overwriteSector(path: string, text: string): boolean {
  if (Buffer.byteLength(text) !== SECTOR || statSync(path, { throwIfNoEntry: false })?.size !== SECTOR) return false;
  const fd = openSync(path, 'r+');
  try {
    return writeSync(fd, text, 0) === SECTOR;
  } finally {
    closeSync(fd);
  }
}

/** Makes renames and removals in the directory survive the machine's death. */
export function flushDirectory(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Names this boot of the machine; empty where that is unknown (then only `durable` states are trusted). */
export function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}
