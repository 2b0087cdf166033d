/**
 * Names, keys and values as every store takes them, so that a store in memory refuses what a file would. Keys are ordered by
 * Unicode code points, which is the order of their UTF-8 bytes; JavaScript's own order differs beyond the basic plane.
 */
import { replicationErrors } from '../errors.ts';
import type { Json } from '../ports/event-log.ts';

const KEY_BYTES_MAX = 1024;
const SPACE = /^[A-Za-z0-9_-]{1,128}$/;
const LAST = 0x10ffff;

/** Throws STATE_STORE_INPUT_INVALID. */
export function checkSpace(store: string, space: string): string {
  if (typeof space === 'string' && SPACE.test(space)) return space;
  throw storeInputInvalid(store, `"${String(space).slice(0, 200)}" is no name of a space`);
}

/** Throws STATE_STORE_INPUT_INVALID. */
export function checkKey(store: string, key: string): string {
  if (typeof key !== 'string') throw storeInputInvalid(store, 'a key is no text');
  if (key.length > KEY_BYTES_MAX / 3 && Buffer.byteLength(key) > KEY_BYTES_MAX)
    throw storeInputInvalid(store, `the key "${key.slice(0, 60)}…" is longer than ${KEY_BYTES_MAX} bytes`);
  // Half a character has no bytes of its own: two such keys would become one.
  if (!key.isWellFormed()) throw storeInputInvalid(store, `the key ${JSON.stringify(key)} is not well-formed Unicode`);
  return key;
}

/** The text that is kept. Throws STATE_STORE_INPUT_INVALID for what has no JSON. */
export function valueText(store: string, value: Json): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    throw storeInputInvalid(store, `a value is no JSON: ${(error as Error).message}`, error);
  }
  if (text === undefined) throw storeInputInvalid(store, `a ${typeof value} is no JSON`);
  return text;
}

export function storeInputInvalid(store: string, problem: string, cause?: unknown): Error {
  return replicationErrors.create('STATE_STORE_INPUT_INVALID', { store, problem }, cause);
}

export function storeClosed(store: string): Error {
  return replicationErrors.create('STATE_STORE_CLOSED', { store });
}

/** Negative when `a` comes first. */
export function compareKeys(a: string, b: string): number {
  if (a === b) return 0;
  const end = Math.min(a.length, b.length);
  let i = 0;
  while (i < end && a.charCodeAt(i) === b.charCodeAt(i)) i++;
  if (i === end) return a.length - b.length;
  return weight(a.charCodeAt(i)) - weight(b.charCodeAt(i));
}

/** Surrogates stand for characters beyond all others. */
function weight(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

/** The first key after all that begin with `prefix`; undefined when there is none. */
export function prefixEnd(prefix: string): string | undefined {
  const points = Array.from(prefix, (character) => character.codePointAt(0) as number);
  while (points.at(-1) === LAST) points.pop();
  const last = points.pop();
  if (last === undefined) return undefined;
  return String.fromCodePoint(...points, last + 1 === 0xd800 ? 0xe000 : last + 1);
}
