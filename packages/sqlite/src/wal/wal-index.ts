/**
 * The header of SQLite's wal-index (the -shm file): what is committed. A commit frame lies in the WAL before its commit
 * counts, for as long as the writer's fsync takes, and for ever when the writer dies there; the next writer then writes
 * over it. Only what the index has published is never rewritten within its generation. Fields are in the byte order of
 * the machine, except for the salts, which are the bytes of the WAL's header.
 */
import { FRAME_HEADER_SIZE, WAL_HEADER_SIZE, WalChecksum } from './header.ts';
import type { WalCursor } from './reader.ts';

/** Two copies, one behind the other. */
export const INDEX_HEADER_SIZE = 96;
const COPY_SIZE = 48;
/** What a copy's own checksum covers. */
const CHECKED_SIZE = 40;
const VERSION = 3007000;

const NATIVE_LITTLE = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

export interface WalIndex {
  readonly type: 'index';
  /** Committed frames of this generation. 0 with new salts: the WAL begins anew, its file may still be the old one's. */
  readonly frames: number;
  readonly salt1: number;
  readonly salt2: number;
  /** The chain's checksum at the last committed frame; without meaning while there is none. */
  readonly checksum1: number;
  readonly checksum2: number;
  /** 0 before the first commit of a new WAL. */
  readonly pageSize: number;
  readonly bigEndian: boolean;
  /** Changes with every commit. */
  readonly change: number;
}

export type WalIndexState =
  | WalIndex
  /** A writer is just publishing, or died doing so: read again. */
  | { readonly type: 'unstable' }
  /** Another layout than the one known here: nothing in it can be understood. */
  | { readonly type: 'unknown'; readonly version: number };

const UNSTABLE = { type: 'unstable' } as const;

/** Judges the first 96 bytes of a -shm file, as a machine of the given byte order (default: this one) has written them. */
export function parseWalIndex(bytes: Uint8Array, littleEndian: boolean = NATIVE_LITTLE): WalIndexState {
  if (bytes.byteLength < INDEX_HEADER_SIZE) return UNSTABLE;
  for (let i = 0; i < COPY_SIZE; i++) if (bytes[i] !== bytes[i + COPY_SIZE]) return UNSTABLE;
  const view = new DataView(bytes.buffer, bytes.byteOffset, COPY_SIZE);
  const word = (at: number): number => view.getUint32(at, littleEndian);
  if (view.getUint8(12) === 0) return UNSTABLE;
  const sum = new WalChecksum(!littleEndian, 0, 0);
  sum.update(view, 0, CHECKED_SIZE);
  const intact = sum.s1 === word(40) && sum.s2 === word(44);
  // A layout of its own need not have its checksum there.
  if (word(0) !== VERSION) return { type: 'unknown', version: word(0) };
  if (!intact) return UNSTABLE;
  return {
    type: 'index',
    change: word(8),
    bigEndian: view.getUint8(13) !== 0,
    pageSize: pageSizeOf(view.getUint16(14, littleEndian)),
    frames: word(16),
    checksum1: word(24),
    checksum2: word(28),
    salt1: view.getUint32(32),
    salt2: view.getUint32(36),
  };
}

/** The cursor behind the last committed frame; undefined while the generation has none. */
export function endOf(index: WalIndex): WalCursor | undefined {
  if (index.frames === 0) return undefined;
  const { salt1, salt2, checksum1, checksum2, pageSize, bigEndian } = index;
  const offset = WAL_HEADER_SIZE + index.frames * (FRAME_HEADER_SIZE + pageSize);
  return { offset, salt1, salt2, checksum1, checksum2, pageSize, bigEndian };
}

/** Whether nothing at all was committed or begun anew in between. */
export function sameIndex(a: WalIndex, b: WalIndex): boolean {
  return sameGeneration(a, b) && a.frames === b.frames && a.change === b.change && sameChecksum(a, b);
}

export function sameGeneration(a: Salts, b: Salts): boolean {
  return a.salt1 === b.salt1 && a.salt2 === b.salt2;
}

export function sameChecksum(a: Checksum, b: Checksum): boolean {
  return a.checksum1 === b.checksum1 && a.checksum2 === b.checksum2;
}

interface Salts {
  readonly salt1: number;
  readonly salt2: number;
}

interface Checksum {
  readonly checksum1: number;
  readonly checksum2: number;
}

/** 65536 does not fit into the field: it is written as 1. */
function pageSizeOf(field: number): number {
  return (field & 0xfe00) | ((field & 1) << 16);
}
