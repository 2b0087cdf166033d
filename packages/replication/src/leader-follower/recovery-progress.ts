/** How far a replica that was behind has come. Pure; times are monotonic. */
export interface RecoveryProgress {
  /** `none`: it is not behind, or does not know yet. */
  readonly phase: 'none' | 'snapshot' | 'log';
  /** Of the log: sequences. Of a snapshot: entries. */
  readonly done: number;
  readonly total: number;
  /** 0 to 100. */
  readonly percent: number;
  /** Since the phase began; undefined in its first moments. */
  readonly perSecond: number | undefined;
  readonly leftMs: number | undefined;
}

const NONE: RecoveryProgress = {
  phase: 'none',
  done: 0,
  total: 0,
  percent: 100,
  perSecond: undefined,
  leftMs: undefined,
};

export class Recovery {
  #phase: 'none' | 'snapshot' | 'log' = 'none';
  #beganAt = 0;
  #from = 0;
  #done = 0;
  #total = 0;
  #applied = 0;

  get active(): boolean {
    return this.#phase !== 'none';
  }

  /** Events applied since it began. */
  get recovered(): number {
    return this.#applied;
  }

  begin(phase: 'snapshot' | 'log', from: number, to: number, now: number): void {
    this.#applied = this.#phase === 'none' ? 0 : this.#applied;
    [this.#phase, this.#from, this.#done, this.#total, this.#beganAt] = [phase, from, from, to, now];
  }

  advance(done: number, events: number): void {
    this.#done = done;
    this.#total = Math.max(this.#total, done);
    this.#applied += events;
  }

  /** Over; returns the time that the last phase took. */
  end(now: number): number {
    this.#phase = 'none';
    return now - this.#beganAt;
  }

  progress(now: number): RecoveryProgress {
    if (this.#phase === 'none') return NONE;
    const done = this.#done - this.#from;
    const total = this.#total - this.#from;
    const seconds = (now - this.#beganAt) / 1000;
    const perSecond = seconds > 0 && done > 0 ? done / seconds : undefined;
    return {
      phase: this.#phase,
      done,
      total,
      percent: total === 0 ? 100 : (100 * done) / total,
      perSecond,
      leftMs: perSecond === undefined ? undefined : ((total - done) / perSecond) * 1000,
    };
  }
}
