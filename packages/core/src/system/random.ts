/** Chance from the operating system. */
import { randomInt, randomUUID } from 'node:crypto';
import type { Random } from '../random/random.ts';

export const systemRandom: Random = {
  next: () => Math.random(),
  int: (bound) => randomInt(bound),
  uuid: () => randomUUID(),
};
