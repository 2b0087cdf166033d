/** Waiting for a condition instead of for a time. */
import { type Clock, messageOf, systemClock } from '@canopy/core';

export interface EventuallyOptions {
  /** Default 10 000. */
  readonly timeoutMs?: number;
  /** Pause between two looks; default 20. */
  readonly everyMs?: number;
  /** What is waited for, for the failure's message. */
  readonly what?: string;
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock;
}

/**
 * Calls `condition` until it gives something truthy, and returns that. A condition that throws counts as not yet true.
 * Fails with what was waited for, and the last value or error that was seen.
 */
export async function eventually<T>(
  condition: () => T | Promise<T>,
  options: EventuallyOptions = {},
): Promise<Exclude<T, false | undefined | null | 0 | ''>> {
  const { timeoutMs = 10_000, everyMs = 20, clock = systemClock } = options;
  const giveUpAt = clock.monotonic() + timeoutMs;
  for (;;) {
    options.signal?.throwIfAborted();
    const seen = await look(condition);
    if ('value' in seen && seen.value) return seen.value as Exclude<T, false | undefined | null | 0 | ''>;
    if (clock.monotonic() >= giveUpAt) {
      const last = 'error' in seen ? `it threw: ${messageOf(seen.error)}` : `it gave ${show(seen.value)}`;
      const what = options.what ?? `the condition ${condition.toString().replace(/\s+/g, ' ').slice(0, 160)}`;
      throw new Error(`${what} did not come true within ${timeoutMs} ms; last, ${last}`, {
        ...('error' in seen ? { cause: seen.error } : {}),
      });
    }
    await clock.sleep(everyMs, { signal: options.signal });
  }
}

async function look<T>(condition: () => T | Promise<T>): Promise<{ value: T } | { error: unknown }> {
  try {
    return { value: await condition() };
  } catch (error) {
    return { error };
  }
}

function show(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 300);
}
