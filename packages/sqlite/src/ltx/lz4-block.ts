/**
 * LZ4 blocks of one database page (at most 64 KiB), the compression inside LTX files. The encoder looks for matches
 * greedily through a small hash table and gives up quickly where there are none; the decoder trusts nothing: whatever
 * the bytes say, it writes only inside the page and reads only inside the block.
 */
const HASH_BITS = 12;
const MIN_MATCH = 4;
/** The format wants the last five bytes as literals, and no match to begin in the last twelve. */
const LAST_LITERALS = 5;
const MATCH_LIMIT = 12;

/** The largest block that `length` bytes can become. */
export function lz4Bound(length: number): number {
  return length + Math.floor(length / 255) + 16;
}

/** Keeps its hash table between pages: positions carry on growing, so older entries are recognised by being too small. */
export class Lz4Encoder {
  readonly #table = new Int32Array(1 << HASH_BITS);
  #base = 1;
  #target: DataView = new DataView(new ArrayBuffer(0));

  /** Writes one block for `source` into `target` from `at`; returns the end. There must be room for lz4Bound(). */
  encode(source: Uint8Array, target: Uint8Array, at: number): number {
    const length = source.length;
    if (this.#base > 0x7000_0000) {
      this.#table.fill(0);
      this.#base = 1;
    }
    const base = this.#base;
    this.#base += length;
    if (length < MATCH_LIMIT + 1) return lastLiterals(source, 0, target, at);

    const table = this.#table;
    const input = new DataView(source.buffer, source.byteOffset, length);
    const output = this.#view(target);
    const matchEnd = length - LAST_LITERALS;
    const lastStart = length - MATCH_LIMIT;
    let anchor = 0;
    let pos = 0;
    let out = at;
    let misses = 0;
    while (pos < lastStart) {
      const word = input.getInt32(pos, true);
      const slot = Math.imul(word, -1640531535) >>> (32 - HASH_BITS);
      const candidate = (table[slot] as number) - base;
      table[slot] = base + pos;
      if (candidate < 0 || input.getInt32(candidate, true) !== word) {
        pos += 1 + (misses++ >>> 4);
        continue;
      }
      misses = 0;
      let from = candidate;
      while (pos > anchor && from > 0 && source[pos - 1] === source[from - 1]) {
        pos--;
        from--;
      }
      const end = matchOf(input, from, pos, matchEnd);
      out = sequence(input, anchor, pos, pos - from, end - pos, output, out);
      pos = end;
      anchor = end;
    }
    return lastLiterals(source, anchor, target, out);
  }

  #view(target: Uint8Array): DataView {
    const { buffer, byteOffset, byteLength } = target;
    const view = this.#target;
    if (view.buffer !== buffer || view.byteOffset !== byteOffset || view.byteLength !== byteLength)
      this.#target = new DataView(buffer, byteOffset, byteLength);
    return this.#target;
  }
}

/** The end of the match that begins at `pos` and `from`; its first four bytes are known to be equal. */
function matchOf(input: DataView, from: number, pos: number, end: number): number {
  const back = pos - from;
  let at = pos + MIN_MATCH;
  while (at + 4 <= end) {
    const differ = input.getInt32(at, true) ^ input.getInt32(at - back, true);
    if (differ !== 0) return at + ((31 - Math.clz32(differ & -differ)) >>> 3);
    at += 4;
  }
  while (at < end && input.getUint8(at) === input.getUint8(at - back)) at++;
  return at;
}

/**
 * One sequence: token, literals from `anchor` to `pos`, then a match of `length` bytes, `distance` back. Literals go four
 * bytes at a time, up to three too many: what follows overwrites them, and twelve bytes of input and output are left.
 */
function sequence(
  input: DataView,
  anchor: number,
  pos: number,
  distance: number,
  length: number,
  output: DataView,
  at: number,
): number {
  const literals = pos - anchor;
  const extra = length - MIN_MATCH;
  let out = at + 1;
  output.setUint8(at, (Math.min(literals, 15) << 4) | Math.min(extra, 15));
  if (literals >= 15) out = lengthRun(output, out, literals - 15);
  for (let i = 0; i < literals; i += 4) output.setInt32(out + i, input.getInt32(anchor + i, true), true);
  out += literals;
  output.setUint16(out, distance, true);
  out += 2;
  return extra >= 15 ? lengthRun(output, out, extra - 15) : out;
}

function lengthRun(output: DataView, at: number, rest: number): number {
  let out = at;
  let left = rest;
  for (; left >= 255; left -= 255) output.setUint8(out++, 255);
  output.setUint8(out++, left);
  return out;
}

function lastLiterals(source: Uint8Array, anchor: number, target: Uint8Array, at: number): number {
  const literals = source.length - anchor;
  target[at] = Math.min(literals, 15) << 4;
  const out = literals >= 15 ? lengthBytes(target, at + 1, literals - 15) : at + 1;
  return copy(source, anchor, source.length, target, out);
}

function lengthBytes(target: Uint8Array, at: number, rest: number): number {
  let out = at;
  let left = rest;
  for (; left >= 255; left -= 255) target[out++] = 255;
  target[out++] = left;
  return out;
}

/** Short runs byte by byte: a call into the runtime costs more than they do. */
function copy(source: Uint8Array, from: number, to: number, target: Uint8Array, at: number): number {
  if (to - from > 48) {
    target.set(source.subarray(from, to), at);
    return at + to - from;
  }
  let out = at;
  for (let i = from; i < to; i++) target[out++] = source[i] as number;
  return out;
}

/** Up to this many bytes are copied four at a time. Up to eight too many: they lie inside and are written again. */
const WILD = 32;

/**
 * Inflates the block in source[start, end) into target[at, at + limit). Returns the number of bytes written, or -1 when
 * the block is malformed or wants to write more.
 */
export function lz4Decode(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  at: number,
  limit: number,
): number {
  const input = new DataView(source.buffer, source.byteOffset, source.byteLength);
  const output = new DataView(target.buffer, target.byteOffset, target.byteLength);
  const stop = at + limit;
  let pos = start;
  let out = at;
  while (pos < end) {
    const token = source[pos++] as number;
    let literals = token >>> 4;
    if (literals === 15) {
      let more = 255;
      while (more === 255) {
        if (pos >= end || literals > limit) return -1;
        more = source[pos++] as number;
        literals += more;
      }
    }
    if (literals > end - pos || literals > stop - out) return -1;
    if (literals <= WILD && end - pos >= WILD && stop - out >= WILD) {
      output.setInt32(out, input.getInt32(pos, true), true);
      output.setInt32(out + 4, input.getInt32(pos + 4, true), true);
      for (let i = 8; i < literals; i += 4) output.setInt32(out + i, input.getInt32(pos + i, true), true);
      out += literals;
    } else out = copy(source, pos, pos + literals, target, out);
    pos += literals;
    if (pos === end) return (token & 15) === 0 ? out - at : -1;

    if (end - pos < 2) return -1;
    const distance = (source[pos] as number) | ((source[pos + 1] as number) << 8);
    pos += 2;
    let length = (token & 15) + MIN_MATCH;
    if (length === 15 + MIN_MATCH) {
      let more = 255;
      while (more === 255) {
        if (pos >= end || length > limit) return -1;
        more = source[pos++] as number;
        length += more;
      }
    }
    if (distance === 0 || distance > out - at || length > stop - out) return -1;
    if (length <= WILD && distance >= 4 && stop - out >= WILD) {
      // Four bytes that lie at least four back are complete when they are read.
      output.setInt32(out, output.getInt32(out - distance, true), true);
      output.setInt32(out + 4, output.getInt32(out - distance + 4, true), true);
      for (let i = 8; i < length; i += 4) output.setInt32(out + i, output.getInt32(out - distance + i, true), true);
      out += length;
    } else out = repeat(target, out, distance, length);
  }
  return -1;
}

/** Copies `length` bytes from `distance` back; where both overlap, the copied bytes are copied again. */
function repeat(target: Uint8Array, at: number, distance: number, length: number): number {
  const end = at + length;
  if (length > 48 && distance === 1) target.fill(target[at - 1] as number, at, end);
  else if (length > 48 && distance >= length) target.copyWithin(at, at - distance, at - distance + length);
  else for (let to = at, from = at - distance; to < end; ) target[to++] = target[from++] as number;
  return end;
}
