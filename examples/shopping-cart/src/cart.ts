/**
 * A cart as a value that merges. Which items are in it is an ORSet: of a removal and an addition that did not know of each other
 * the addition stays. How many of each is a PNCounter: what was added on two sides adds up, and a removal takes away what its
 * shop had seen, no more.
 */
import { decodeRecord, type Entity, ORSet, PNCounter } from '@canopy/replication';

export interface CartLine {
  readonly item: string;
  readonly quantity: number;
}

export class Cart {
  readonly #shop: string;
  readonly #items: ORSet<string>;
  readonly #quantities: Record<string, PNCounter>;

  /** What the shop has stored, or an empty cart. `shop` signs the changes: one process at a time, one change at a time. */
  constructor(shop: string, stored: Entity | null) {
    const { items, quantities } = decodeRecord(stored?.data ?? {}, shop) as {
      items?: ORSet<string>;
      quantities?: Record<string, PNCounter>;
    };
    this.#shop = shop;
    this.#items = items ?? new ORSet<string>(shop);
    this.#quantities = { ...quantities };
  }

  add(item: string, quantity: number): void {
    this.#items.add(item);
    const counter = this.#quantities[item] ?? new PNCounter(this.#shop);
    counter.increment(quantity);
    this.#quantities[item] = counter;
  }

  /** Takes some away, down to one; `remove` takes it out. */
  reduce(item: string, quantity: number): void {
    const counter = this.#quantities[item];
    if (counter === undefined || !this.#items.has(item)) return;
    counter.decrement(Math.min(quantity, Math.max(0, counter.value() - 1)));
  }

  remove(item: string): void {
    this.#items.remove(item);
    const counter = this.#quantities[item];
    if (counter !== undefined) counter.decrement(Math.max(0, counter.value()));
  }

  /**
   * By name. Two shops that each take some away may together take more than there is: an item that is in the cart is there once at
   * least.
   */
  lines(): readonly CartLine[] {
    const lines = this.#items.elements().map((item) => {
      return { item, quantity: Math.max(1, this.#quantities[item]?.value() ?? 1) };
    });
    return lines.sort((a, b) => (a.item < b.item ? -1 : 1));
  }

  /** For the manager's `write`. */
  toData(): Record<string, unknown> {
    return { items: this.#items, quantities: this.#quantities };
  }
}
