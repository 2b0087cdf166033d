/** The metrics of backends. Labels: `app` and `node`, which are bounded by configuration. */
import type { HistogramSpec, MetricSpec } from '@canopy/core';

const LABELS = ['app', 'node'] as const;

/** 1 for the present state, and no series for the others. */
export const BACKEND_STATE: MetricSpec = {
  name: 'gc_backend_state',
  help: 'State of the backend: 1 for the present state (stopped, starting, running, unhealthy, restarting, stopping, failed)',
  labels: [...LABELS, 'state'],
};

/** Restarts in place by the restart policy; starts at a promotion don't count. */
export const BACKEND_RESTARTS: MetricSpec = {
  name: 'gc_backend_restarts_total',
  help: 'Restarts of the backend by its restart policy',
  labels: LABELS,
};

/** From the call to the first healthy answer; failed starts are not observed. */
export const BACKEND_START_DURATION: HistogramSpec = {
  name: 'gc_backend_start_duration_seconds',
  help: 'Time from starting the backend until it was healthy',
  labels: LABELS,
  buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
};

/** Absent while no backend runs: no value is not the same as unhealthy. */
export const BACKEND_HEALTH: MetricSpec = {
  name: 'gc_backend_health',
  help: 'Whether the backend answers its health check (1) or not (0)',
  labels: LABELS,
};

/** Lines of output beyond the rate that the log takes; a log file takes all. */
export const BACKEND_OUTPUT_DROPPED: MetricSpec = {
  name: 'gc_backend_output_dropped_total',
  help: 'Lines of backend output left out of the log because they came too fast',
  labels: LABELS,
};
