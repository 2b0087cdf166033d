/**
 * Keys and filters of a bucket and the subjects that they stand for. The layout is that of every NATS client, so the
 * stock tools read our buckets: stream `KV_<bucket>`, subject `$KV.<bucket>.<key>`. Do not change.
 */
import { natsErrors } from '../errors.ts';

/** The key with which watchers prove that their watch is alive. Never shown to users. */
export const TICK_KEY = '_tick';

export function kvStream(bucket: string): string {
  return `KV_${bucket}`;
}

export function kvSubject(bucket: string, key: string): string {
  return `$KV.${bucket}.${key}`;
}

export function checkBucket(bucket: string): string {
  if (/^[-\w]{1,240}$/.test(bucket)) return bucket;
  throw natsErrors.create('NAME_REFUSED', { kind: 'bucket', name: bucket, allowed: 'letters, digits, "-" and "_"' });
}

/** Returns the key, or throws NAME_REFUSED. */
export function checkKey(key: string): string {
  const fine = /^[-/=.\w]{1,1024}$/.test(key) && !key.startsWith('.') && !key.endsWith('.') && !key.includes('..');
  if (fine && key !== TICK_KEY) return key;
  const allowed = `letters, digits, and "-/_=." with no empty token; "${TICK_KEY}" is reserved`;
  throw natsErrors.create('NAME_REFUSED', { kind: 'key', name: key, allowed });
}

/** A predicate for keys from `*` (one token), `>` (the rest, at least one) and plain tokens. Throws NAME_REFUSED. */
export function keyFilter(filters: string | readonly string[]): (key: string) => boolean {
  const list = typeof filters === 'string' ? [filters] : filters;
  const tests = list.map(oneFilter);
  return (key) => key !== TICK_KEY && tests.some((test) => test(key));
}

function oneFilter(filter: string): (key: string) => boolean {
  if (filter === '>') return () => true;
  const tokens = filter.split('.');
  const wellFormed = tokens.every(
    (token, at) => token === '*' || (token === '>' && at === tokens.length - 1) || /^[-/=\w]+$/.test(token),
  );
  if (!wellFormed) {
    const allowed = 'tokens joined by ".", "*" for one, ">" for the rest';
    throw natsErrors.create('NAME_REFUSED', { kind: 'filter', name: filter, allowed });
  }
  if (!tokens.includes('*') && !tokens.includes('>')) return (key) => key === filter;
  return (key) => matches(tokens, key.split('.'));
}

function matches(filter: readonly string[], tokens: readonly string[]): boolean {
  for (let at = 0; at < filter.length; at++) {
    if (filter[at] === '>') return tokens.length > at;
    if (at >= tokens.length || (filter[at] !== '*' && filter[at] !== tokens[at])) return false;
  }
  return tokens.length === filter.length;
}

/** Subject matching for the bus, by the same rules. */
export function subjectMatches(pattern: string, subject: string): boolean {
  return matches(pattern.split('.'), subject.split('.'));
}
