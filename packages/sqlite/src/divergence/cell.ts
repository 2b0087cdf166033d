/**
 * A value of a row as JSON, with its storage class: what is written can be told from everything else that SQLite can
 * store. Plain JSON is null, a text, a whole number (an integer) and a number with a fraction (a real); whatever plain JSON
 * would change has an object. A persisted format: forms are only added. Pure.
 */

/**
 * `{"int"}` a whole number past 2^53, `{"real"}` a real without a fraction (`5.0`, `-0.0`, `1e+300`, `Infinity`,
 * `-Infinity`), `{"hex"}` a blob, `{"textHex"}` the bytes of a text that is not valid in the database's encoding.
 */
export type ChangeCell =
  | null
  | number
  | string
  | { readonly int: string }
  | { readonly real: string }
  | { readonly hex: string }
  | { readonly textHex: string };

/** What `rawCell` answers, read with big integers: a text as its bytes, a blob as hex digits. */
export type RawCell = null | bigint | number | string | Uint8Array;

/** A column so that nothing of it is lost on the way out of SQLite: a text that isn't valid would be mended there. */
export function rawCell(column: string): string {
  return `CASE typeof(${column}) WHEN 'blob' THEN hex(${column}) WHEN 'text' THEN CAST(${column} AS BLOB) ELSE ${column} END`;
}

/** For the texts of a database with this `PRAGMA encoding`. */
export function cellEncoder(encoding: string): (raw: RawCell) => ChangeCell {
  const decode = textDecoder(encoding);
  return (raw) => {
    if (raw === null) return null;
    if (typeof raw === 'bigint') return encodeInteger(raw);
    if (typeof raw === 'number') return encodeReal(raw);
    if (typeof raw === 'string') return { hex: raw.toLowerCase() };
    return decode(raw) ?? { textHex: Buffer.from(raw).toString('hex') };
  };
}

function encodeInteger(value: bigint): ChangeCell {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : { int: value.toString() };
}

function encodeReal(value: number): ChangeCell {
  if (Number.isFinite(value) && !Number.isInteger(value)) return value;
  if (Object.is(value, -0)) return { real: '-0.0' };
  const text = String(value);
  return { real: /^-?\d+$/.test(text) ? `${text}.0` : text };
}

/** Undefined for bytes that are no text. */
function textDecoder(encoding: string): (bytes: Uint8Array) => string | undefined {
  const strict = new TextDecoder(encoding === 'UTF-8' ? 'utf-8' : 'utf-16le', { fatal: true, ignoreBOM: true });
  const isSwapped = encoding === 'UTF-16be';
  return (bytes) => {
    try {
      return strict.decode(isSwapped ? Buffer.from(bytes).swap16() : bytes);
    } catch {
      return undefined;
    }
  };
}
