/** A follower's reports of its progress: at once when it was quiet, else the latest one every few milliseconds; and again from time to time. */
import type { Clock, Timer } from '@canopy/core';
import type { ResolvedConfig } from './config.ts';
import type { FollowerRegistry } from './follower-registry.ts';

const PAUSE_MS = 10;

export class ProgressReports {
  readonly #config: ResolvedConfig;
  readonly #clock: Clock;
  readonly #applied: () => number;
  #pause: Timer | undefined;
  #again: Timer | undefined;
  #reported = -1;
  #unsubscribe: (() => void) | undefined;

  constructor(config: ResolvedConfig, clock: Clock, applied: () => number) {
    this.#config = config;
    this.#clock = clock;
    this.#applied = applied;
  }

  /** As leader: what followers report goes to the registry, which takes on those that it does not know. */
  hear(registry: FollowerRegistry): void {
    const { progress, namespace, nodeId } = this.#config;
    this.stop();
    this.#unsubscribe = progress?.subscribe(namespace, (report) => {
      if (report.nodeId !== nodeId) registry.report(report.nodeId, report.sequence, true);
    });
  }

  /** As follower. */
  begin(): void {
    this.stop();
    if (this.#config.progress !== undefined) this.#repeat();
  }

  moved(): void {
    if (this.#config.progress === undefined || this.#again === undefined || this.#pause !== undefined) return;
    this.#send();
    this.#pause = this.#clock.timer(PAUSE_MS, () => {
      this.#pause = undefined;
      if (this.#applied() !== this.#reported) this.moved();
    });
  }

  stop(): void {
    for (const timer of [this.#pause, this.#again]) timer?.cancel();
    [this.#pause, this.#again] = [undefined, undefined];
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
  }

  #repeat(): void {
    this.#again = this.#clock.timer(this.#config.heartbeatIntervalMs, () => this.#repeat(), { background: true });
    this.#send();
  }

  #send(): void {
    const { progress, namespace, nodeId } = this.#config;
    this.#reported = this.#applied();
    progress?.report(namespace, { nodeId, sequence: this.#reported });
  }
}
