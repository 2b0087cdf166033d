/**
 * One text for equal states: SHA-256 of each entry's canonical JSON, added up modulo 2^256, so the order in which entries come is
 * nothing and memory stays small. For comparing replicas that trust each other; it does not withstand forgery.
 */
import { createHash } from 'node:crypto';
import { encodeRecord } from '../crdt/record-codec.ts';
import { jsonKey } from '../values/canonical.ts';

const MODULUS = 1n << 64n;

export class StateHash {
  readonly #sum: [bigint, bigint, bigint, bigint] = [0n, 0n, 0n, 0n];
  #entries = 0;

  /**
   * Each key once. An undefined value is no entry. Values that merge are taken by their JSON. Throws REPLICATED_VALUE_INVALID for what JSON
   * can't carry.
   */
  add(key: string, value: unknown): this {
    if (value === undefined) return this;
    const digest = createHash('sha256')
      .update(jsonKey([key, encodeRecord(value)]))
      .digest();
    let carry = 0n;
    for (let i = 0; i < 4; i++) {
      const sum = (this.#sum[i] as bigint) + digest.readBigUInt64LE(i * 8) + carry;
      this.#sum[i] = sum % MODULUS;
      carry = sum / MODULUS;
    }
    this.#entries++;
    return this;
  }

  /** 64 hexadecimal digits; more may be added afterwards. */
  digest(): string {
    return createHash('sha256')
      .update(`${this.#entries} ${this.#sum.join(' ')}`)
      .digest('hex');
  }
}

/** Of entries in any order, such as a `Map`. */
export function stateHash(entries: Iterable<readonly [key: string, value: unknown]>): string {
  const hash = new StateHash();
  for (const [key, value] of entries) hash.add(key, value);
  return hash.digest();
}
