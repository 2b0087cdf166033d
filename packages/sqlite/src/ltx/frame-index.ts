/**
 * The page index at the end of an LTX file: for each page its number, the absolute offset of its frame and the frame's
 * length, as varints, closed by a zero. Kept here as (step in page number, length) pairs, 3 to 4 bytes a page, so that
 * a snapshot of any size can be written and checked in bounded memory: the offsets follow from the lengths.
 */
const CHUNK = 64 * 1024;
/** Two varints of at most 33 and 18 bits. */
const ENTRY_MAX = 10;
/** Three varints, the offset one of up to 53 bits. */
const RECORD_MAX = 20;

export class FrameIndex {
  readonly #chunks: Uint8Array[] = [];
  #chunk = new Uint8Array(256);
  #used = 0;
  #last = 0;
  #encodedLength = 1;
  #offset: number;
  readonly #start: number;
  #count = 0;

  /** `start` is the offset of the first frame in the file. */
  constructor(start: number) {
    this.#start = start;
    this.#offset = start;
  }

  get lastPgno(): number {
    return this.#last;
  }

  get count(): number {
    return this.#count;
  }

  /** Offset just behind the frames so far. */
  get end(): number {
    return this.#offset;
  }

  /** Bytes of the encoded index, its closing zero included. */
  get encodedLength(): number {
    return this.#encodedLength;
  }

  /** Page numbers must ascend; the caller has checked that. */
  add(pgno: number, length: number): void {
    if (this.#used + ENTRY_MAX > this.#chunk.length) this.#grow();
    this.#used = putVarint(this.#chunk, this.#used, pgno - this.#last);
    this.#used = putVarint(this.#chunk, this.#used, length);
    this.#encodedLength += varintLength(pgno) + varintLength(this.#offset) + varintLength(length);
    this.#last = pgno;
    this.#offset += length;
    this.#count++;
  }

  /** The encoded index in pieces of at most 64 KiB. A piece is valid until the next one is asked for. */
  *encoded(): Generator<Uint8Array> {
    const out = new Uint8Array(Math.min(CHUNK, this.#encodedLength + RECORD_MAX));
    let at = 0;
    let pgno = 0;
    let offset = this.#start;
    for (const { bytes, used } of this.#stored()) {
      const cursor = { bytes, at: 0 };
      while (cursor.at < used) {
        pgno += takeVarint(cursor);
        const length = takeVarint(cursor);
        if (at + RECORD_MAX > out.length) {
          yield out.subarray(0, at);
          at = 0;
        }
        at = putVarint(out, at, pgno);
        at = putVarint(out, at, offset);
        at = putVarint(out, at, length);
        offset += length;
      }
    }
    out[at++] = 0;
    yield out.subarray(0, at);
  }

  *#stored(): Generator<{ bytes: Uint8Array; used: number }> {
    for (const bytes of this.#chunks) yield { bytes, used: bytes.length };
    yield { bytes: this.#chunk, used: this.#used };
  }

  #grow(): void {
    this.#chunks.push(this.#chunk.subarray(0, this.#used));
    this.#chunk = new Uint8Array(Math.min(CHUNK, this.#chunk.length * 4));
    this.#used = 0;
  }
}

function putVarint(bytes: Uint8Array, at: number, value: number): number {
  let out = at;
  let rest = value;
  for (; rest >= 0x8000_0000; rest = Math.floor(rest / 128)) bytes[out++] = (rest % 128) | 128;
  for (; rest >= 128; rest >>>= 7) bytes[out++] = (rest & 127) | 128;
  bytes[out++] = rest;
  return out;
}

function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) length++;
  return length;
}

function takeVarint(cursor: { readonly bytes: Uint8Array; at: number }): number {
  let value = 0;
  let scale = 1;
  for (;;) {
    const byte = cursor.bytes[cursor.at++] as number;
    value += (byte & 127) * scale;
    if (byte < 128) return value;
    scale *= 128;
  }
}
