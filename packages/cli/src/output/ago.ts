/** A moment for people: how long ago it was, and when. */
import { formatDuration } from '@canopy/core';

/** `5m ago (2026-11-21T03:00:00.000Z)`; undefined for what is not known. A moment ahead of our clock was just now. */
export function ago(at: number | undefined, now: number): string | undefined {
  return at === undefined ? undefined : `${formatDuration(Math.max(0, now - at))} ago (${new Date(at).toISOString()})`;
}
