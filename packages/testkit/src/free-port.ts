/** A port on 127.0.0.1 that was free a moment ago; for parameters that must be known before a program starts. */
import { systemRandom } from '@canopy/core';
import { freePort as choosePort } from '@canopy/nats/server';

/** Somebody else may take it before its use: a test that can use port 0 should. */
export function freePort(host = '127.0.0.1'): Promise<number> {
  return choosePort(systemRandom, { host });
}
