/**
 * What platforms, apps and nodes may be called. Names become parts of bucket names and subjects, so anything else is
 * refused before a byte goes on the wire. `_` separates the parts of a bucket name, hence none in platform and app names.
 */
import { coreErrors } from '../errors/errors.ts';

export type NameKind = 'platform' | 'app' | 'node' | 'service' | 'lock' | 'label';

const RESERVED_APPS: ReadonlySet<string> = new Set([
  'platform',
  'election',
  'members',
  'services',
  'placement',
  'events',
  'audit',
  'leaves',
  'conflicts',
]);

/** Undefined when the name is fine, else what is wrong with it. */
export function nameProblem(kind: NameKind, name: unknown): string | undefined {
  if (typeof name !== 'string' || name.length === 0) return 'it is empty';
  if (name.length > 63) return 'it is longer than 63 characters';
  if (!/^[A-Za-z0-9]/.test(name)) return 'it does not begin with a letter or digit';
  const bad = /[^A-Za-z0-9_-]/.exec(name);
  if (bad !== null) return `it contains ${JSON.stringify(bad[0])}`;
  if ((kind === 'platform' || kind === 'app') && name.includes('_')) return 'it contains "_"';
  if (kind === 'app' && RESERVED_APPS.has(name)) return 'it is reserved';
  return undefined;
}

/** Returns the name, or throws NAME_INVALID. */
export function checkName(kind: NameKind, name: unknown): string {
  const problem = nameProblem(kind, name);
  if (problem !== undefined) throw coreErrors.create('NAME_INVALID', { kind, name, problem });
  return name as string;
}
