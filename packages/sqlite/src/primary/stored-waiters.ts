/**
 * Those who wait until what was committed when they asked is in the log. Each has a mark, the WAL's committed end at the call (as
 * the next pass begins, where it could not be told then), and is settled by the first entry that lies at or behind it: a writer that never lets a backlog drain keeps nobody
 * waiting for more than the backlog that was there. Invariant: whoever was added is settled once, by an entry at or
 * behind its mark, by a pass that ended with nothing left, by a full image that was read after it came, or by a failure.
 */
import type { WalCursor } from '../wal/reader.ts';

export type WalMark = Pick<WalCursor, 'salt1' | 'salt2' | 'offset'>;

interface Waiter<T> {
  resolve(value: T): void;
  reject(error: Error): void;
  /** Undefined until it is known what was committed. */
  mark: WalMark | undefined;
  /** An entry of the mark's WAL has been stored: one of another WAL comes after all of it. */
  entered: boolean;
}

export class StoredWaiters<T> {
  #waiting: Waiter<T>[] = [];
  /** By the pass under way. */
  #covered: Waiter<T>[] = [];

  /** Nobody waits for a pass that has yet to begin. */
  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /**
   * `mark`: the WAL's committed end now, if it is known; `stored`: the end of the last entry in the log. So the entry under way
   * may be the one that settles. A rejection that nobody looks at is not an unhandled one.
   */
  add(mark?: WalMark | undefined, stored?: WalMark | undefined): Promise<T> {
    const passed = new Promise<T>((resolve, reject) => {
      this.#waiting.push({ resolve, reject, mark, entered: isOf(stored, mark) });
    });
    passed.catch(() => {});
    return passed;
  }

  /** A pass begins, and covers everybody so far. `committed` is asked only for those whose mark is open. */
  begin(committed: () => WalMark | undefined, stored: WalMark | undefined): void {
    // The WAL of a mark that no entry has reached yet may be lost, and then none ever will: a later mark does as well.
    const open = this.#waiting.filter(({ mark, entered }) => mark === undefined || !entered);
    const mark = open.length > 0 ? committed() : undefined;
    for (const waiter of mark === undefined ? [] : open) {
      waiter.mark = mark;
      waiter.entered = isOf(stored, mark);
    }
    this.#covered.push(...this.#waiting.splice(0));
  }

  /** An entry of WAL frames that ends here is in the log. `check` is called before anybody is told; it may throw. */
  stored(end: WalMark, value: T, check: () => void): void {
    const isDue = (waiter: Waiter<T>): boolean => isReached(waiter, end);
    const due = [...this.#covered, ...this.#waiting].filter(isDue);
    if (due.length > 0) check();
    this.#covered = this.#covered.filter((waiter) => !isDue(waiter));
    this.#waiting = this.#waiting.filter((waiter) => !isDue(waiter));
    for (const waiter of [...this.#covered, ...this.#waiting]) waiter.entered ||= isOf(end, waiter.mark);
    for (const waiter of due) waiter.resolve(value);
  }

  /** The pass did not come to the end of what there was: the next one covers those who are left. */
  again(): void {
    this.#waiting.unshift(...this.#covered.splice(0));
  }

  /** Everything that was there when the pass began is in the log. */
  end(value: T): void {
    for (const waiter of this.#covered.splice(0)) waiter.resolve(value);
  }

  /** Everybody, covered or not. */
  fail(error: Error): void {
    for (const waiter of [...this.#covered.splice(0), ...this.#waiting.splice(0)]) waiter.reject(error);
  }
}

function isReached<T>({ mark, entered }: Waiter<T>, end: WalMark): boolean {
  if (mark === undefined) return false;
  return isSameWal(end, mark) ? end.offset >= mark.offset : entered;
}

/** Whether both are places in one WAL. */
function isOf(a: WalMark | undefined, b: WalMark | undefined): boolean {
  return a !== undefined && b !== undefined && isSameWal(a, b);
}

function isSameWal(a: WalMark, b: WalMark): boolean {
  return a.salt1 === b.salt1 && a.salt2 === b.salt2;
}
