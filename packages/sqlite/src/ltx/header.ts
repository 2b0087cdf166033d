/**
 * The fixed parts of an LTX file (version 3): the 100-byte header and the rules that make one valid. All integers are
 * big-endian. The wire format is Litestream's; it must not change. We always write flag 0x2 (no database checksums),
 * because Litestream refuses to restore anything else.
 */
import { sqliteErrors } from '../errors.ts';

export const HEADER_SIZE = 100;
export const TRAILER_SIZE = 16;
export const PAGE_HEADER_SIZE = 6;
/** "size follows": the page is an LZ4 block behind a four-byte length. Without it the page is an LZ4 frame. */
export const PAGE_FLAG_SIZE = 0x0001;
const MAGIC = 0x4c545831;
const FLAG_NO_CHECKSUM = 0x2;
const LOCK_BYTE = 0x4000_0000;
/** The furthest moment from 1970 that a Date can hold. */
const TIME_MAX_MS = 8_640_000_000_000_000;

/**
 * How pages are stored: `block`, an LZ4 block behind its length (read by Litestream from 0.5.16 on), or `frame`, an LZ4
 * frame (read by all of its versions from 0.5.0 on). Every reader here takes both, also mixed in one log.
 */
export type PageEncoding = 'block' | 'frame';

export interface LtxHeader {
  /** Bytes of a page: a power of two from 512 to 65536. */
  readonly pageSize: number;
  /** Size of the database in pages once this file is applied; at least 1. */
  readonly commit: number;
  /** First transaction contained. 1 means that the file is a full image. */
  readonly minTxid: number;
  readonly maxTxid: number;
  /** Unix ms at the writer. */
  readonly timestamp: number;
  /** Where in the WAL the covered bytes begin (32 = first frame), how many they are, and the WAL's salts; 0 = unknown. */
  readonly walOffset: number;
  readonly walSize: number;
  readonly walSalt1: number;
  readonly walSalt2: number;
}

export interface LtxPage {
  /** From 1. */
  readonly pgno: number;
  /** Exactly one page. Must not be changed by who gets it. */
  readonly data: Uint8Array;
}

/** The page that holds SQLite's lock bytes. It is never stored; in a database file it reads as zeros. */
export function lockPage(pageSize: number): number {
  return LOCK_BYTE / pageSize + 1;
}

/** Undefined when the header is valid, else what is wrong with it. */
export function headerProblem(header: LtxHeader): string | undefined {
  const { pageSize, commit, minTxid, maxTxid, timestamp, walOffset, walSize, walSalt1, walSalt2 } = header;
  if (pageSize < 512 || pageSize > 65536 || (pageSize & (pageSize - 1)) !== 0) return `page size ${pageSize}`;
  if (commit < 1 || commit > 0xffff_ffff) return `a database size of ${commit} pages`;
  if (minTxid < 1 || maxTxid < minTxid) return `transactions ${minTxid} to ${maxTxid}`;
  if (Math.abs(timestamp) > TIME_MAX_MS) return `a timestamp of ${timestamp} ms`;
  if (walOffset < 0 || walSize < 0) return 'a negative WAL position';
  if (walOffset === 0 && (walSize !== 0 || walSalt1 !== 0 || walSalt2 !== 0)) return 'a WAL size without an offset';
  return undefined;
}

export function encodeHeader(header: LtxHeader): Uint8Array {
  const bytes = new Uint8Array(HEADER_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC);
  view.setUint32(4, FLAG_NO_CHECKSUM);
  view.setUint32(8, header.pageSize);
  view.setUint32(12, header.commit);
  view.setBigUint64(16, BigInt(header.minTxid));
  view.setBigUint64(24, BigInt(header.maxTxid));
  view.setBigInt64(32, BigInt(header.timestamp));
  view.setBigInt64(48, BigInt(header.walOffset));
  view.setBigInt64(56, BigInt(header.walSize));
  view.setUint32(64, header.walSalt1);
  view.setUint32(68, header.walSalt2);
  return bytes;
}

/** Reads the header at the start of `bytes`. Throws SQLITE_LTX_INVALID; `object` names the file in the message. */
export function decodeHeader(bytes: Uint8Array, object: string): LtxHeader {
  const invalid = (problem: string): Error => sqliteErrors.create('SQLITE_LTX_INVALID', { object, problem });
  if (bytes.length < HEADER_SIZE) throw invalid(`only ${bytes.length} bytes, the header alone has ${HEADER_SIZE}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_SIZE);
  if (view.getUint32(0) !== MAGIC) throw invalid('it does not begin with "LTX1"');
  const flags = view.getUint32(4);
  if ((flags & ~FLAG_NO_CHECKSUM) !== 0) throw invalid(`unknown flags 0x${flags.toString(16)}`);
  const preApply = view.getBigUint64(40);
  const numbers = {
    minTxid: Number(view.getBigUint64(16)),
    maxTxid: Number(view.getBigUint64(24)),
    timestamp: Number(view.getBigInt64(32)),
    walOffset: Number(view.getBigInt64(48)),
    walSize: Number(view.getBigInt64(56)),
  };
  for (const [field, value] of Object.entries(numbers))
    if (!Number.isSafeInteger(value)) throw invalid(`${field} ${value} is out of range`);
  const header: LtxHeader = {
    pageSize: view.getUint32(8),
    commit: view.getUint32(12),
    ...numbers,
    walSalt1: view.getUint32(64),
    walSalt2: view.getUint32(68),
  };
  const problem = headerProblem(header);
  if (problem !== undefined) throw invalid(problem);
  const checksummed = (flags & FLAG_NO_CHECKSUM) === 0 && header.minTxid !== 1;
  if (checksummed !== preApply >= 1n << 63n || (!checksummed && preApply !== 0n))
    throw invalid('its database checksum does not go with its flags');
  return header;
}
