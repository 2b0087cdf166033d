/** A subscriber that is killed once; many kills of both kinds are in `many-kills.int.test.ts`. */
import { it } from 'vitest';
import { killAndCompare } from './kills.ts';

it('every effect once over the death of the process', () => killAndCompare('durable', 1), 180_000);
