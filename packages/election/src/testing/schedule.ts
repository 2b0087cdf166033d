/** True time of a simulation: a heap of what happens when. Ties go in the order in which they were planned. */

interface Planned {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
  cancelled: boolean;
}

export class Schedule {
  readonly #heap: Planned[] = [];
  #order = 0;
  now = 0;

  /** Plans `run`; returns what cancels it. */
  at(at: number, run: () => void): () => void {
    const planned: Planned = { at: Math.max(at, this.now), order: this.#order++, run, cancelled: false };
    this.#push(planned);
    return () => {
      planned.cancelled = true;
    };
  }

  after(ms: number, run: () => void): () => void {
    return this.at(this.now + ms, run);
  }

  /** Lets everything up to `end` happen. */
  runUntil(end: number): void {
    for (let next = this.#heap[0]; next !== undefined && next.at <= end; next = this.#heap[0]) {
      this.#pop();
      if (next.cancelled) continue;
      this.now = next.at;
      next.run();
    }
    this.now = end;
  }

  #push(planned: Planned): void {
    const heap = this.#heap;
    let i = heap.push(planned) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(heap[i] as Planned, heap[parent] as Planned)) return;
      swap(heap, i, parent);
      i = parent;
    }
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Planned;
    if (heap.length === 0) return;
    heap[0] = last;
    for (let i = 0; ; ) {
      const left = 2 * i + 1;
      let least = i;
      for (const child of [left, left + 1])
        if (child < heap.length && before(heap[child] as Planned, heap[least] as Planned)) least = child;
      if (least === i) return;
      swap(heap, i, least);
      i = least;
    }
  }
}

function before(a: Planned, b: Planned): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

function swap(heap: Planned[], i: number, j: number): void {
  const kept = heap[i] as Planned;
  heap[i] = heap[j] as Planned;
  heap[j] = kept;
}
