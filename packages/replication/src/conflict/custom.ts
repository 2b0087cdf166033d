/** A function of the user decides. What it returns is the result; what it throws is thrown. */
import { replicationErrors } from '../errors.ts';
import type { AnyValue, ConflictEntry, ConflictResult, ResolutionStrategy } from './entry.ts';

/**
 * Replicas call it with their own version as `local`, so it must give the same value when the two are exchanged, or they will not
 * come to the same state.
 */
export type CustomResolver<V = AnyValue> = (
  local: ConflictEntry<V>,
  remote: ConflictEntry<V>,
) => ConflictResult<V> | Promise<ConflictResult<V>>;

export class CustomResolverStrategy<V = AnyValue> implements ResolutionStrategy<V> {
  readonly #decide: CustomResolver<V>;

  /** Throws CONFLICT_STRATEGY_MISSING when `decide` is no function. */
  constructor(decide: CustomResolver<V>) {
    if (typeof decide !== 'function') throw replicationErrors.create('CONFLICT_STRATEGY_MISSING');
    this.#decide = decide;
  }

  /** Throws CONFLICT_RESOLVER_ASYNC when the function gives a promise. */
  resolve(local: ConflictEntry<V>, remote: ConflictEntry<V>): ConflictResult<V> {
    const result = this.#decide(local, remote);
    if (!isPromise(result)) return result;
    // Nobody waits for it any more; its failure must not end the process.
    result.then(undefined, () => undefined);
    throw replicationErrors.create('CONFLICT_RESOLVER_ASYNC');
  }

  async resolveAsync(local: ConflictEntry<V>, remote: ConflictEntry<V>): Promise<ConflictResult<V>> {
    return this.#decide(local, remote);
  }
}

function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function';
}
