/**
 * Time that passes as fast as the work leaves it to: whoever waits for silence does not cost the test that silence. Between two steps
 * promises and immediates have run, so a busy machine changes nothing.
 */
import { type Env, systemEnv } from '@canopy/core';
import { VirtualClock } from '@canopy/core/testing';
import { onTestFinished } from 'vitest';

const STEP_MS = 5;

/** Until the test has ended, and all that it lets go of at its end. */
export function passingTime(): Env {
  const clock = new VirtualClock();
  let passes = true;
  const passing = (async () => {
    while (passes) await clock.advance(STEP_MS);
  })();
  // The first to be asked for is the last to end.
  onTestFinished(async () => {
    passes = false;
    await passing;
  });
  return systemEnv({ clock });
}
