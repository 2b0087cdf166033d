/** The warden's metrics. */
import type { MetricSpec } from '@canopy/core';

/** Anything but 0 means that something kills or freezes the warden: out of memory, or a stray signal. */
export const WARDEN_RESTARTS: MetricSpec = {
  name: 'election_warden_restarts_total',
  help: 'Warden processes that ended and were replaced',
};

/** Each is a freeze or starvation of this process past a lease's deadline. */
export const WARDEN_FENCES: MetricSpec = {
  name: 'election_warden_fences_total',
  help: 'Leases whose processes the warden ended because the deadline passed without a newer one',
};
