/** A backend's state as others see it: every change is an event, a log line and a metric, told in one place. */
import {
  type BackendEvent,
  type BackendState,
  Broadcast,
  type Counter,
  type Env,
  type Gauge,
  type Histogram,
  type Labels,
} from '@canopy/core';
import { BACKEND_HEALTH, BACKEND_RESTARTS, BACKEND_START_DURATION, BACKEND_STATE } from '../metrics.ts';
import type { ExitFacts } from './instance.ts';

export class BackendEvents {
  readonly #env: Env;
  readonly #labels: Labels;
  readonly #events = new Broadcast<BackendEvent>({ capacity: 256 });
  readonly #stateGauge: Gauge;
  readonly #healthGauge: Gauge;
  readonly #restarts: Counter;
  readonly #startDuration: Histogram;
  #state: BackendState = 'stopped';

  constructor(env: Env, labels: Labels) {
    this.#env = env;
    this.#labels = labels;
    this.#stateGauge = env.metrics.gauge(BACKEND_STATE);
    this.#healthGauge = env.metrics.gauge(BACKEND_HEALTH);
    this.#restarts = env.metrics.counter(BACKEND_RESTARTS);
    this.#startDuration = env.metrics.histogram(BACKEND_START_DURATION);
    this.#stateGauge.set(1, { ...labels, state: 'stopped' });
  }

  get state(): BackendState {
    return this.#state;
  }

  enter(state: BackendState, reason: string): void {
    if (state === this.#state) return;
    this.#stateGauge.remove({ ...this.#labels, state: this.#state });
    this.#stateGauge.set(1, { ...this.#labels, state });
    this.#state = state;
    const level = state === 'failed' ? 'error' : state === 'unhealthy' || state === 'restarting' ? 'warn' : 'info';
    this.#env.log[level]('backend_state_changed', { state, reason });
    this.#events.send({ type: 'state_changed', state, reason });
  }

  exited(exit: ExitFacts): void {
    this.#env.log.info('backend_exited', { ...exit });
    this.#events.send({ type: 'exited', ...exit });
  }

  failed(error: Error): void {
    this.enter('failed', error.message);
    this.#events.send({ type: 'failed', error });
  }

  /** Undefined: nothing runs, so nothing is known. */
  healthy(healthy: boolean | undefined): void {
    if (healthy === undefined) this.#healthGauge.remove(this.#labels);
    else this.#healthGauge.set(healthy ? 1 : 0, this.#labels);
  }

  restarted(): void {
    this.#restarts.add(1, this.#labels);
  }

  started(ms: number): void {
    this.#startDuration.observe(ms / 1000, this.#labels);
  }

  watch(options: { signal?: AbortSignal | undefined }): AsyncIterable<BackendEvent> {
    return this.#events.watch({
      ...options,
      first: [{ type: 'state_changed', state: this.#state, reason: 'present state' }],
    });
  }
}
