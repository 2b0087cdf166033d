/**
 * How long to wait between copying a WAL into the file and beginning it anew. Readers that began before the copy have to
 * end first, and how long they last is not known: a try that comes too early adds to the WAL, and then those that began
 * after the copy have to end before the next one. So each failure waits for several times as long, and what was enough is
 * remembered.
 */
const FIRST_MS = 300;
const MAX_MS = 8100;
const GROWTH = 3;
const DECAY = 0.8;

export class RenewPatience {
  #ms = FIRST_MS;

  get ms(): number {
    return this.#ms;
  }

  tried(hasSucceeded: boolean): void {
    this.#ms = hasSucceeded ? Math.max(FIRST_MS, this.#ms * DECAY) : Math.min(MAX_MS, this.#ms * GROWTH);
  }
}
