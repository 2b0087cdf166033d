/** Many kills of each kind of subscriber; a few are in `kills.int.test.ts`. */
import { it } from 'vitest';
import { type Kind, killAndCompare } from './kills.ts';

it.each<Kind>(['durable', 'source'])(
  'every effect once over many kills: %s',
  (kind) => killAndCompare(kind, 20),
  600_000,
);
