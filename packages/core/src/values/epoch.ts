/**
 * The epoch of a right: a whole number that grows at every change of holder and never repeats. What the right guards
 * keeps the highest epoch it has seen and refuses a lower one; that, not a timer, is what makes a stale holder harmless.
 */
import { assert } from '../errors/errors.ts';

declare const epochBrand: unique symbol;
export type Epoch = number & { readonly [epochBrand]: true };

/** Epoch 0: nobody has held the right yet. */
export const NO_EPOCH = 0 as Epoch;

export function epoch(value: number): Epoch {
  assert(Number.isSafeInteger(value) && value >= 0, `epoch must be a whole number >= 0, got ${value}`);
  return value as Epoch;
}
