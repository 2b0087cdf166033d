/**
 * LZ4 frames of one page: the page form that LTX writers before 0.5.2 used (Litestream 0.5.0 to 0.5.15) and the only one
 * that they read. Only what those writers emit is written and accepted: independent blocks of at most 64 KiB, no
 * dictionary, and a content checksum at the end.
 */
import { type Lz4Encoder, lz4Decode } from './lz4-block.ts';

/** What a frame adds to its blocks at most: descriptor, two block lengths with checksums, end mark, content checksum. */
export const FRAME_OVERHEAD = 64;
const MAGIC = 0x184d2204;
/** Magic, flags (version 1, independent blocks, content checksum), blocks of 64 KiB, the checksum of both. */
const DESCRIPTOR = Uint8Array.of(0x04, 0x22, 0x4d, 0x18, 0x64, 0x40, 0xa7);
/** In a block's length: its bytes are not compressed. */
const STORED = 0x8000_0000;
const PRIME1 = 0x9e3779b1 | 0;
const PRIME2 = 0x85ebca77 | 0;
const PRIME3 = 0xc2b2ae3d | 0;
const PRIME4 = 0x27d4eb2f;
const PRIME5 = 0x165667b1;

/**
 * Inflates the frame at `start` into target[at, at + pageSize). Returns the frame's length, 0 when the window ends
 * before the frame does, -1 when it is malformed, is not exactly one page, or fails its checksum.
 */
export function lz4FrameDecode(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  at: number,
  pageSize: number,
): number {
  if (end - start < 7) return 0;
  const view = new DataView(source.buffer, source.byteOffset, source.byteLength);
  const flags = source[start + 4] as number;
  const linked = (flags & 0x20) === 0;
  const blockChecksums = (flags & 0x10) !== 0;
  if (view.getUint32(start, true) !== MAGIC || flags >>> 6 !== 1 || (flags & 0x07) !== 0x04 || linked) return -1;
  let pos = start + 6 + ((flags & 0x08) !== 0 ? 8 : 0);
  if (end < pos + 1) return 0;
  if (((xxHash32(source, start + 4, pos) >>> 8) & 255) !== source[pos]) return -1;
  pos += 1;
  let out = 0;
  for (;;) {
    if (end - pos < 4) return 0;
    const word = view.getUint32(pos, true);
    pos += 4;
    if (word === 0) break;
    const size = word & 0x7fff_ffff;
    if (size === 0 || size > pageSize + 16) return -1;
    if (end - pos < size + (blockChecksums ? 4 : 0)) return 0;
    if (word !== size) {
      if (out + size > pageSize) return -1;
      target.set(source.subarray(pos, pos + size), at + out);
      out += size;
    } else {
      const inflated = lz4Decode(source, pos, pos + size, target, at + out, pageSize - out);
      if (inflated <= 0) return -1;
      out += inflated;
    }
    pos += size + (blockChecksums ? 4 : 0);
  }
  if (out !== pageSize) return -1;
  if (end - pos < 4) return 0;
  if (view.getUint32(pos, true) !== xxHash32(target, at, at + pageSize)) return -1;
  return pos + 4 - start;
}

/** Writes one page as a frame at `at`; returns its end. There must be room for lz4Bound() and FRAME_OVERHEAD. */
export function lz4FrameEncode(lz4: Lz4Encoder, page: Uint8Array, target: Uint8Array, at: number): number {
  const view = new DataView(target.buffer, target.byteOffset, target.byteLength);
  const body = at + DESCRIPTOR.length + 4;
  target.set(DESCRIPTOR, at);
  let end = lz4.encode(page, target, body);
  let size = end - body;
  if (size >= page.length) {
    target.set(page, body);
    end = body + page.length;
    size = (page.length | STORED) >>> 0;
  }
  view.setUint32(body - 4, size, true);
  view.setUint32(end, 0, true);
  view.setUint32(end + 4, xxHash32(page, 0, page.length), true);
  return end + 8;
}

/** xxHash32 with seed 0 over bytes[start, end). */
export function xxHash32(bytes: Uint8Array, start: number, end: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let pos = start;
  let hash: number;
  if (end - start >= 16) {
    let a = (PRIME1 + PRIME2) | 0;
    let b = PRIME2;
    let c = 0;
    let d = -PRIME1 | 0;
    for (; pos + 16 <= end; pos += 16) {
      a = round(a, view.getInt32(pos, true));
      b = round(b, view.getInt32(pos + 4, true));
      c = round(c, view.getInt32(pos + 8, true));
      d = round(d, view.getInt32(pos + 12, true));
    }
    hash = (rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18)) | 0;
  } else hash = PRIME5;
  hash = (hash + end - start) | 0;
  for (; pos + 4 <= end; pos += 4)
    hash = Math.imul(rotate((hash + Math.imul(view.getInt32(pos, true), PRIME3)) | 0, 17), PRIME4);
  for (; pos < end; pos++) hash = Math.imul(rotate((hash + Math.imul(bytes[pos] as number, PRIME5)) | 0, 11), PRIME1);
  hash = Math.imul(hash ^ (hash >>> 15), PRIME2);
  hash = Math.imul(hash ^ (hash >>> 13), PRIME3);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function round(lane: number, word: number): number {
  return Math.imul(rotate((lane + Math.imul(word, PRIME2)) | 0, 13), PRIME1);
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}
