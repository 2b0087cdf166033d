/** Long readings of a store, which answers at once, in slices: between them the loop is free for everybody else. */
import type { Clock } from '@canopy/core';

/** As long as one slice may take; a page more at most. */
const SLICE_MS = 10;

/** The same, one after the other; who takes them must bear that the store changes meanwhile. Ends with the signal's reason. */
export async function* inSlices<T>(
  pages: Iterable<T>,
  clock: Clock,
  signal: AbortSignal | undefined,
): AsyncGenerator<T> {
  let began = clock.monotonic();
  for (const page of pages) {
    yield page;
    if (clock.monotonic() - began < SLICE_MS) continue;
    await clock.sleep(0, signal === undefined ? {} : { signal });
    began = clock.monotonic();
  }
}
