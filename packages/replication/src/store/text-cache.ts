/**
 * The texts of values that were asked for by key, so that asking again reads no file; also that a key is absent. Only what was asked for is
 * kept, so what is only written takes no room. Bounded in bytes. Invariant: what it says is what the file has, as last committed by
 * its owner, who clears it wherever that may not be so: after a rollback, a move, and another program's change.
 */

/** Bytes; what was not asked for in the last half of it goes. */
const BYTES_MAX = 32 * 1024 * 1024;
/** A larger one is read each time: it costs more to parse than to find. */
const ENTRY_BYTES_MAX = 64 * 1024;
/** What the engine needs for an entry besides its texts. */
const ENTRY_BYTES = 100;

/** Null: absent. */
type Text = string | null;
type Generation = Map<string, Map<string, Text>>;

export class TextCache {
  readonly #halfBytes: number;
  #young: Generation = new Map();
  #old: Generation = new Map();
  #youngBytes = 0;

  /** `bytes`: all that it may hold. */
  constructor(bytes: number = BYTES_MAX) {
    this.#halfBytes = bytes / 2;
  }

  get isEmpty(): boolean {
    return this.#young.size === 0 && this.#old.size === 0;
  }

  /** Undefined: not known here. */
  get(space: string, key: string): Text | undefined {
    const text = this.#young.get(space)?.get(key);
    if (text !== undefined) return text;
    const old = this.#old.get(space);
    const kept = old?.get(key);
    if (kept === undefined) return undefined;
    old?.delete(key);
    this.#add(space, key, kept);
    return kept;
  }

  /** What the file has of a key that is not known here. */
  keep(space: string, key: string, text: Text): void {
    this.#add(space, key, text);
  }

  /** What the file has from now on. Known keys only: who writes without asking is not going to ask. */
  committed(space: string, key: string, text: Text): void {
    const young = this.#young.get(space);
    const known = young?.get(key);
    if (known !== undefined) {
      this.#youngBytes -= bytesOf(key, known);
      // Or it would go on saying what was.
      if (!this.#add(space, key, text)) young?.delete(key);
    } else if (this.#old.get(space)?.delete(key)) this.#add(space, key, text);
  }

  clear(): void {
    this.#young = new Map();
    this.#old = new Map();
    this.#youngBytes = 0;
  }

  /** False: it is too large. */
  #add(space: string, key: string, text: Text): boolean {
    const bytes = bytesOf(key, text);
    if (bytes > Math.min(ENTRY_BYTES_MAX, this.#halfBytes)) return false;
    if (this.#youngBytes + bytes > this.#halfBytes) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#youngBytes = 0;
    }
    const texts = this.#young.get(space);
    if (texts === undefined) this.#young.set(space, new Map([[key, text]]));
    else texts.set(key, text);
    this.#youngBytes += bytes;
    return true;
  }
}

/** The engine keeps text beyond Latin letters in two bytes a character. */
function bytesOf(key: string, text: Text): number {
  if (text === null) return ENTRY_BYTES + 2 * key.length;
  const isNarrow = Buffer.byteLength(text) === text.length;
  return ENTRY_BYTES + 2 * key.length + (isNarrow ? text.length : 2 * text.length);
}
