/**
 * CRC-64/GO-ISO, the checksum of LTX files. Its polynomial is x^64 + x^4 + x^3 + x + 1, so multiplying the register by
 * x^64 is itself XORed with three shifted copies, and what falls out at the end folds back in through 16 entries: eight
 * bytes a step without a byte table. The register is kept reflected, in two 32-bit halves.
 */
const FOLD = foldTable();

export class Crc64 {
  #hi = -1;
  #lo = -1;

  update(bytes: Uint8Array, start = 0, end = bytes.length): this {
    let hi = this.#hi;
    let lo = this.#lo;
    let at = start;
    if (end - start >= 8) {
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      for (const last = end - 8; at <= last; at += 8) {
        const l = lo ^ view.getInt32(at, true);
        const h = hi ^ view.getInt32(at + 4, true);
        lo = l ^ ((l >>> 1) | (h << 31)) ^ ((l >>> 3) | (h << 29)) ^ ((l >>> 4) | (h << 28));
        hi = h ^ (h >>> 1) ^ (h >>> 3) ^ (h >>> 4) ^ (FOLD[l & 15] as number);
      }
    }
    for (; at < end; at++) {
      lo ^= bytes[at] as number;
      for (let bit = 0; bit < 8; bit++) {
        const out = lo & 1;
        lo = (lo >>> 1) | (hi << 31);
        hi = (hi >>> 1) ^ (out === 1 ? 0xd8000000 : 0);
      }
    }
    this.#hi = hi;
    this.#lo = lo;
    return this;
  }

  /** High half of the checksum so far, unsigned. */
  get hi(): number {
    return ~this.#hi >>> 0;
  }

  /** Low half of the checksum so far, unsigned. */
  get lo(): number {
    return ~this.#lo >>> 0;
  }
}

/** What the four bits that leave the register at its x^63 end are worth once they are reduced. */
function foldTable(): Int32Array {
  const table = new Int32Array(16);
  for (let out = 0; out < 16; out++) {
    const carry = (out ^ (out << 1) ^ (out << 3)) & 15;
    const top = carry << 4;
    table[out] = (top ^ (top >>> 1) ^ (top >>> 3) ^ (top >>> 4)) << 24;
  }
  return table;
}
