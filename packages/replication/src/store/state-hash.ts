/**
 * One text for equal states: SHA-256 of each entry's canonical JSON, added up in four lanes of 64 bits, so the order in which entries come is
 * nothing and memory stays small. For comparing replicas that trust each other; it does not withstand forgery.
 */
import { createHash } from 'node:crypto';
import { encodeRecord } from '../crdt/record-codec.ts';
import { jsonKey } from '../values/canonical.ts';

const LANES = 4;

export class StateHash {
  readonly #sum: bigint[] = Array.from({ length: LANES }, () => 0n);

  /**
   * Each key once. An undefined value is no entry. Values that merge are taken by their JSON. Throws REPLICATED_VALUE_INVALID for what JSON
   * can't carry.
   */
  add(key: string, value: unknown): this {
    if (value === undefined) return this;
    const digest = createHash('sha256')
      .update(jsonKey([key, encodeRecord(value)]))
      .digest();
    for (let i = 0; i < LANES; i++) this.#sum[i] = BigInt.asUintN(64, (this.#sum[i] as bigint) + lane(digest, i));
    return this;
  }

  /** 64 hexadecimal digits; more may be added afterwards. */
  digest(): string {
    return createHash('sha256').update(this.#sum.join(' ')).digest('hex');
  }
}

/** Of entries in any order, such as a `Map`. */
export function stateHash(entries: Iterable<readonly [key: string, value: unknown]>): string {
  const hash = new StateHash();
  for (const [key, value] of entries) hash.add(key, value);
  return hash.digest();
}

function lane(digest: Buffer, i: number): bigint {
  return digest.readBigUInt64LE(i * 8);
}
