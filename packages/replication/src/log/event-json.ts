/**
 * Events on the wire: JSON text in UTF-8, the format of every log. What JSON would change on its way is refused when it is
 * appended, never found missing on another replica; only properties that are undefined are left out, as everywhere in JSON.
 */
import { replicationErrors } from '../errors.ts';
import type { Json } from '../ports/event-log.ts';
import { DEPTH_MAX, isPlainObject } from '../values/canonical.ts';

/** Throws EVENT_INVALID for what JSON can't carry unchanged. */
export function encodeEvent(event: unknown): string {
  requireJson(event, 0);
  return JSON.stringify(event);
}

/** Undefined when the text is none of ours. */
export function decodeEvent(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}

function requireJson(value: unknown, depth: number): void {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return;
  if (typeof value === 'number' && Number.isFinite(value)) return;
  if (depth > DEPTH_MAX) throw invalid(`it is nested deeper than ${DEPTH_MAX}, or contains itself`);
  if (Array.isArray(value)) {
    // Also the holes, which JSON would fill.
    for (let at = 0; at < value.length; at++) requireJson(value[at], depth + 1);
    return;
  }
  if (!isPlainObject(value) || typeof value.toJSON === 'function' || Object.getOwnPropertySymbols(value).length > 0)
    throw invalid(`${describe(value)} in it would not survive JSON`);
  for (const name of Object.keys(value)) {
    const item = value[name];
    if (item !== undefined) requireJson(item, depth + 1);
  }
}

function describe(value: unknown): string {
  if (typeof value === 'number' || value === undefined) return String(value);
  const kind = typeof value === 'object' && value !== null ? (value.constructor?.name ?? 'object') : typeof value;
  return `a value of type ${kind}`;
}

export function invalid(problem: string): Error {
  return replicationErrors.create('EVENT_INVALID', { problem });
}
