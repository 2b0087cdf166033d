/**
 * Watching one instance: until it is healthy, and from then on until something is wrong with it. Never starts or ends
 * anything itself.
 */
import { abortable, type Clock } from '@canopy/core';
import { backendErrors } from '../errors.ts';
import { probe } from './health-probe.ts';
import { HEALTH_UNKNOWN, type HealthState, startProbePauseMs, stepHealth } from './health-state.ts';
import type { ExitFacts, Instance } from './instance.ts';
import type { ResolvedHealth, ResolvedProcessOptions } from './options.ts';
import type { OutputTail } from './output.ts';

export interface VigilContext {
  readonly app: string;
  readonly clock: Clock;
  readonly options: ResolvedProcessOptions;
  readonly tail: OutputTail;
}

/** Resolves when it serves. Rejects with BACKEND_EXITED, BACKEND_NEVER_HEALTHY, or the signal's reason. */
export async function untilHealthy(context: VigilContext, instance: Instance, signal: AbortSignal): Promise<void> {
  const { clock, options } = context;
  const stop = new AbortController();
  const both = AbortSignal.any([signal, stop.signal]);
  const exited = instance.exited.then(async (exit): Promise<never> => {
    // Its last words are taken by the time it is gone.
    await instance.end(0);
    throw exitError(context, exit, 'before it was healthy');
  });
  const served =
    options.health === undefined
      ? clock.sleep(Math.min(options.settleMs, options.startTimeoutMs), { signal: both })
      : untilServing(context, options.health, both);
  try {
    await abortable(Promise.race([served, exited]), signal);
    // An answer may have come from something else on that port while ours was ending.
    if (instance.exit !== undefined) await exited;
  } finally {
    stop.abort();
    served.catch(() => {});
    exited.catch(() => {});
  }
}

async function untilServing(context: VigilContext, health: ResolvedHealth, signal: AbortSignal): Promise<void> {
  const { app, clock, options, tail } = context;
  const until = clock.monotonic() + options.startTimeoutMs;
  let state: HealthState = HEALTH_UNKNOWN;
  for (let attempt = 0; ; attempt++) {
    const left = until - clock.monotonic();
    if (left <= 0) break;
    const sample = await probe(health.url, clock, { timeoutMs: Math.min(health.timeoutMs, left), signal });
    signal.throwIfAborted();
    state = stepHealth(state, sample, health);
    if (state.healthy) return;
    await clock.sleep(Math.min(startProbePauseMs(attempt, health.intervalMs), left), { signal });
  }
  throw backendErrors.create('BACKEND_NEVER_HEALTHY', {
    app,
    timeoutMs: options.startTimeoutMs,
    endpoint: health.url.href,
    answer: state.last?.detail ?? 'none',
    output: outputOf(tail),
  });
}

export type Trouble =
  | { readonly type: 'exited'; readonly exit: ExitFacts }
  | { readonly type: 'unhealthy'; readonly error: Error };

/** Resolves with what went wrong, or undefined when the signal aborts. */
export async function untilTrouble(
  context: VigilContext,
  instance: Instance,
  signal: AbortSignal,
  onHealth: (healthy: boolean) => void,
): Promise<Trouble | undefined> {
  const stop = new AbortController();
  const exited = instance.exited.then((exit): Trouble => ({ type: 'exited', exit }));
  const unhealthy = probeOn(context, AbortSignal.any([signal, stop.signal]), onHealth);
  const aborted = Promise.withResolvers<undefined>();
  const onAbort = (): void => aborted.resolve(undefined);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([aborted.promise, exited, unhealthy]);
  } finally {
    stop.abort();
    signal.removeEventListener('abort', onAbort);
  }
}

/** Probes until it is unhealthy; pending for ever (until aborted) without an endpoint. */
async function probeOn(
  { app, clock, options }: VigilContext,
  signal: AbortSignal,
  onHealth: (healthy: boolean) => void,
): Promise<Trouble | undefined> {
  const { health } = options;
  if (health === undefined) {
    const aborted = Promise.withResolvers<undefined>();
    signal.addEventListener('abort', () => aborted.resolve(undefined), { once: true });
    return aborted.promise;
  }
  let state: HealthState = { healthy: true, streak: 0, last: undefined };
  for (;;) {
    try {
      await clock.sleep(health.intervalMs, { signal });
    } catch {
      return undefined;
    }
    const sample = await probe(health.url, clock, { timeoutMs: health.timeoutMs, signal });
    if (signal.aborted) return undefined;
    state = stepHealth(state, sample, health);
    onHealth(sample.ok);
    if (state.healthy) continue;
    const fields = { app, endpoint: health.url.href, failures: state.streak, answer: sample.detail };
    return { type: 'unhealthy', error: backendErrors.create('BACKEND_UNHEALTHY', fields) };
  }
}

export function exitError(context: VigilContext, exit: ExitFacts, when: string): Error {
  const { app, options, tail } = context;
  return backendErrors.create('BACKEND_EXITED', {
    app,
    command: options.command[0],
    how: exit.signal ?? `exit code ${exit.code}`,
    when,
    code: exit.code,
    signal: exit.signal,
    output: outputOf(tail),
  });
}

function outputOf(tail: OutputTail): string {
  const lines = tail.lines().slice(-5);
  return lines.length === 0 ? '; it wrote nothing' : `; last output: ${lines.map((line) => line.text).join(' / ')}`;
}
