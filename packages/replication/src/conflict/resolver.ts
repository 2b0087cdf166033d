/** Makes one version of two or more by the strategy that it is given, and checks that the strategy said all it must. */
import { replicationErrors } from '../errors.ts';
import { type AnyValue, type ConflictEntry, type ConflictResult, type ResolutionStrategy, resultOf } from './entry.ts';

export class ConflictResolver<V = AnyValue> {
  #strategy: ResolutionStrategy<V>;

  /** Throws CONFLICT_STRATEGY_MISSING without a strategy. */
  constructor(strategy: ResolutionStrategy<V>) {
    this.#strategy = checkStrategy(strategy);
  }

  /**
   * Throws CONFLICT_RESULT_INVALID when the strategy leaves out timestamp, node id or resolution, CONFLICT_ENTRY_INVALID for
   * entries that can't be ordered, REPLICATED_VALUE_INVALID when only values nested deeper than 500 could tell them apart, and
   * whatever the strategy throws.
   */
  resolve(local: ConflictEntry<V>, remote: ConflictEntry<V>): ConflictResult<V> {
    return checkResult(this.#strategy.resolve(local, remote));
  }

  /** As `resolve`, for strategies that take their time. */
  async resolveAsync(local: ConflictEntry<V>, remote: ConflictEntry<V>): Promise<ConflictResult<V>> {
    const strategy = this.#strategy;
    return checkResult(await (strategy.resolveAsync?.(local, remote) ?? strategy.resolve(local, remote)));
  }

  /**
   * One version of any number. Of our strategies the value depends on the entries alone, not on their order; a custom one is
   * applied to the result so far and the next entry, in order. Throws CONFLICT_ENTRIES_EMPTY when there are none.
   */
  resolveMultiple(entries: readonly ConflictEntry<V>[]): ConflictResult<V> {
    const [first, ...others] = entries;
    if (first === undefined) throw replicationErrors.create('CONFLICT_ENTRIES_EMPTY');
    if (others.length === 0)
      return { ...resultOf(first, 'local'), ...(first.fieldClocks && { fieldClocks: first.fieldClocks }) };
    if (this.#strategy.resolveMultiple !== undefined) return checkResult(this.#strategy.resolveMultiple(entries));
    let result = first as ConflictResult<V>;
    for (const entry of others) result = this.resolve(result, entry);
    return result;
  }

  /** For what is resolved from now on. Throws CONFLICT_STRATEGY_MISSING without a strategy. */
  setStrategy(strategy: ResolutionStrategy<V>): void {
    this.#strategy = checkStrategy(strategy);
  }
}

function checkStrategy<V>(strategy: ResolutionStrategy<V>): ResolutionStrategy<V> {
  if (typeof strategy?.resolve === 'function') return strategy;
  throw replicationErrors.create('CONFLICT_STRATEGY_MISSING');
}

function checkResult<V>(result: ConflictResult<V>): ConflictResult<V> {
  if (typeof result?.timestamp !== 'number') throw lacking('timestamp');
  if (typeof result.nodeId !== 'string') throw lacking('nodeId');
  if (typeof result.resolution !== 'string') throw lacking('resolution');
  return result;
}

function lacking(field: string) {
  return replicationErrors.create('CONFLICT_RESULT_INVALID', { field });
}
