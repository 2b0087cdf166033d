/** SQLite's WAL file format: the 32-byte header and the running checksum that chains its frames. */
export const WAL_HEADER_SIZE = 32;
export const FRAME_HEADER_SIZE = 24;
const MAGIC_LITTLE = 0x377f0682;
const MAGIC_BIG = 0x377f0683;
const VERSION = 3007000;

export interface WalHeader {
  readonly pageSize: number;
  /** Byte order of the words that checksums are made of; the file's own fields are big-endian always. */
  readonly bigEndian: boolean;
  readonly checkpointSeq: number;
  readonly salt1: number;
  readonly salt2: number;
  /** The header's own checksum, where the frames' chain starts. */
  readonly checksum1: number;
  readonly checksum2: number;
}

/** The header in the first 32 bytes, or undefined when SQLite would not accept it either (it takes such a WAL as empty). */
export function parseWalHeader(bytes: Uint8Array): WalHeader | undefined {
  if (bytes.length < WAL_HEADER_SIZE) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, WAL_HEADER_SIZE);
  const magic = view.getUint32(0);
  if ((magic !== MAGIC_LITTLE && magic !== MAGIC_BIG) || view.getUint32(4) !== VERSION) return undefined;
  const bigEndian = magic === MAGIC_BIG;
  const pageSize = view.getUint32(8);
  if (pageSize < 512 || pageSize > 65536 || (pageSize & (pageSize - 1)) !== 0) return undefined;
  const sum = new WalChecksum(bigEndian, 0, 0);
  sum.update(view, 0, 24);
  const checksum1 = view.getUint32(24);
  const checksum2 = view.getUint32(28);
  if (sum.s1 !== checksum1 || sum.s2 !== checksum2) return undefined;
  return {
    pageSize,
    bigEndian,
    checkpointSeq: view.getUint32(12),
    salt1: view.getUint32(16),
    salt2: view.getUint32(20),
    checksum1,
    checksum2,
  };
}

/** The running pair over 8-byte units: s1 += word + s2, s2 += word + s1, modulo 2^32. */
export class WalChecksum {
  readonly #littleEndian: boolean;
  #s1: number;
  #s2: number;

  constructor(bigEndian: boolean, s1: number, s2: number) {
    this.#littleEndian = !bigEndian;
    this.#s1 = s1 | 0;
    this.#s2 = s2 | 0;
  }

  get s1(): number {
    return this.#s1 >>> 0;
  }

  get s2(): number {
    return this.#s2 >>> 0;
  }

  /** `length` must be a multiple of 8. */
  update(view: DataView, start: number, length: number): void {
    const end = start + length;
    let s1 = this.#s1;
    let s2 = this.#s2;
    // Two loops: with the byte order constant in each, the engine reads words without a branch.
    if (this.#littleEndian)
      for (let at = start; at < end; at += 8) {
        s1 = (s1 + view.getInt32(at, true) + s2) | 0;
        s2 = (s2 + view.getInt32(at + 4, true) + s1) | 0;
      }
    else
      for (let at = start; at < end; at += 8) {
        s1 = (s1 + view.getInt32(at, false) + s2) | 0;
        s2 = (s2 + view.getInt32(at + 4, false) + s1) | 0;
      }
    this.#s1 = s1;
    this.#s2 = s2;
  }

  set(s1: number, s2: number): void {
    this.#s1 = s1 | 0;
    this.#s2 = s2 | 0;
  }
}
