/** Heartbeats of a leader, and what a follower hears of them. Hints for people and for redirects: they never decide who leads. */
import type { Clock, Timer } from '@canopy/core';
import type { ResolvedConfig } from './config.ts';

export interface HeartbeatTold {
  leaderId(): string | undefined;
  leaderFailed(leaderId: string): void;
  failed(error: Error, during: string): void;
}

export class Heartbeats {
  readonly #config: ResolvedConfig;
  readonly #clock: Clock;
  readonly #told: HeartbeatTold;
  #timer: Timer | undefined;
  #unsubscribe: (() => void) | undefined;
  #healthy = true;

  constructor(config: ResolvedConfig, clock: Clock, told: HeartbeatTold) {
    this.#config = config;
    this.#clock = clock;
    this.#told = told;
  }

  /** What was heard last; true until something was. */
  get leaderHealthy(): boolean {
    return this.#healthy;
  }

  /** As leader: a beat after each interval. */
  beat(): void {
    this.stop();
    this.#healthy = true;
    if (this.#config.heartbeatService !== undefined) this.#schedule();
  }

  /** As follower. */
  listen(): void {
    this.stop();
    this.#unsubscribe = this.#config.heartbeatService?.onLeaderStatus((leaderId, alive) => {
      const known = this.#told.leaderId();
      // A namespace's service may carry others; a follower that was told no leader takes any.
      if (known !== undefined && known !== this.#config.nodeId && known !== leaderId) return;
      const failed = this.#healthy && !alive;
      this.#healthy = alive;
      if (failed) this.#told.leaderFailed(leaderId);
    });
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
  }

  #schedule(): void {
    const { heartbeatService, heartbeatIntervalMs, nodeId } = this.#config;
    const failed = (error: Error): void => this.#told.failed(error, 'heartbeat');
    this.#timer = this.#clock.timer(
      heartbeatIntervalMs,
      () => {
        this.#schedule();
        try {
          Promise.resolve(heartbeatService?.sendHeartbeat(nodeId)).catch(failed);
        } catch (error) {
          failed(error as Error);
        }
      },
      { background: true },
    );
  }
}
