/**
 * One text for equal values, whatever the order of their properties, and different texts for different ones: `1` and `"1"`
 * are two. It identifies elements of sets and breaks ties that nothing else decides; replicas must agree on it, so it
 * must not change.
 */
import { replicationErrors } from '../errors.ts';

/** Deeper values are refused: they would exhaust the stack. */
export const DEPTH_MAX = 500;

/**
 * For values that JSON can carry unchanged. Throws REPLICATED_VALUE_INVALID for others (`undefined`, NaN, functions,
 * instances of classes, cycles, nesting beyond 500): a replica that gets them over the wire would see something else.
 */
export function jsonKey(value: unknown): string {
  return typeof value === 'string' ? `"${value}` : writeJson(value, 0);
}

/** The value of a `jsonKey`, with its properties in order: replicas that were given them in another order show the same. */
export function valueOfKey(key: string): unknown {
  return key.startsWith('"') ? key.slice(1) : JSON.parse(key);
}

/** For any value; only nesting beyond 500 throws (REPLICATED_VALUE_INVALID). */
export function canonicalText(value: unknown): string {
  return typeof value === 'string' ? `"${value}` : writeAny(value, []);
}

/** A record that a literal, JSON or `Object.create(null)` made; not an instance of a class, not a list. */
export function isPlainObject(value: unknown): value is Record<PropertyKey, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null;
}

function writeJson(value: unknown, depth: number): string {
  if (depth > DEPTH_MAX) throw invalid(`it is nested deeper than ${DEPTH_MAX}, or contains itself`);
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'boolean' || value === null) return String(value);
  if (typeof value === 'number' && Number.isFinite(value)) return String(value === 0 ? 0 : value);
  if (Array.isArray(value)) return `[${Array.from(value, (item) => writeJson(item, depth + 1)).join(',')}]`;
  if (isPlainObject(value) && Object.getOwnPropertySymbols(value).length === 0)
    return writeRecord(value, (item) => writeJson(item, depth + 1));
  throw invalid(`a ${describe(value)} in it would not survive JSON`);
}

function writeAny(value: unknown, path: readonly object[]): string {
  if (path.length > DEPTH_MAX) throw invalid(`it is nested deeper than ${DEPTH_MAX}`);
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') return String(value === 0 ? 0 : value);
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'symbol') return value.toString();
  if (typeof value === 'function') return `function ${value.name}`;
  if (typeof value !== 'object' || value === null) return String(value);
  const at = path.indexOf(value);
  if (at !== -1) return `^${path.length - at}`;
  const inner = (item: unknown): string => writeAny(item, [...path, value]);
  if (Array.isArray(value)) return `[${Array.from(value, inner).join(',')}]`;
  if (value instanceof Date) return `Date(${value.getTime()})`;
  if (value instanceof Set) return `Set(${[...value].map(inner).sort().join(',')})`;
  if (value instanceof Map)
    return `Map(${[...value]
      .map(([key, item]) => `${inner(key)}:${inner(item)}`)
      .sort()
      .join(',')})`;
  if (isPlainObject(value)) return writeRecord(value, inner);
  const { toJSON } = value as { toJSON?: unknown };
  const shown: unknown = typeof toJSON === 'function' ? toJSON.call(value) : { ...value };
  return `${value.constructor?.name ?? ''}(${shown === value ? '' : inner(shown)})`;
}

/** Properties that are undefined are left out, as JSON does; symbols follow the names. */
function writeRecord(record: Record<PropertyKey, unknown>, write: (item: unknown) => string): string {
  const names = Object.keys(record).sort();
  const parts = names
    .filter((name) => record[name] !== undefined)
    .map((n) => `${JSON.stringify(n)}:${write(record[n])}`);
  const symbols = Object.getOwnPropertySymbols(record).map((key) => `${key.toString()}:${write(record[key])}`);
  return `{${[...parts, ...symbols.sort()].join(',')}}`;
}

function describe(value: unknown): string {
  if (typeof value === 'number') return String(value);
  return typeof value === 'object' && value !== null ? (value.constructor?.name ?? 'object') : typeof value;
}

function invalid(problem: string) {
  return replicationErrors.create('REPLICATED_VALUE_INVALID', { problem });
}
