/**
 * A steady stream of transfers at a ledger, through any of several URLs, that remembers every request and its outcome.
 * A transfer whose outcome is unknown is sent again under the same id, to the next URL, until it is settled or the load
 * ends; so an acknowledged transfer happened exactly once, or somebody broke a promise.
 */
import { type Env, Lifecycle, pick, type Random, seededRandom, TaskGroup } from '@canopy/core';
import { type Gap, History, type LatencyStats, type RequestRecord } from './history.ts';
import { HttpClient } from './http-client.ts';
import { type LoadOptions, type ResolvedLoadOptions, resolveLoadOptions } from './options.ts';
import { judge } from './outcome.ts';
import { Pace } from './pace.ts';

export interface LoadStats extends LatencyStats {
  /** Transfers that were settled by an acknowledgement. */
  readonly acknowledged: number;
  readonly refused: number;
  /** Requests (not transfers) without a clear answer. */
  readonly unknown: number;
  /** Transfers that are not settled yet, or never were. */
  readonly pending: number;
  readonly reads: number;
  readonly readsFailed: number;
  /** The history is full: no transfers are begun any more. */
  readonly full: boolean;
}

interface Order {
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly amount: number;
}

export class Load extends Lifecycle {
  readonly #env: Env;
  readonly #options: ResolvedLoadOptions;
  readonly #random: Random;
  readonly #client: HttpClient;
  readonly #history: History;
  readonly #tasks: TaskGroup;
  readonly #pace: Pace;
  readonly #prefix: string;
  #drainMs = 2000;
  #count = 0;
  #settled = { acknowledged: 0, refused: 0 };
  #unknown = 0;
  #reads = 0;
  #readsFailed = 0;

  /** Throws OPTIONS_INVALID; sends nothing before start(). */
  constructor(env: Env, options: LoadOptions) {
    super('load');
    this.#env = env;
    this.#options = resolveLoadOptions(options);
    this.#random = this.#options.seed === undefined ? env.random : seededRandom(this.#options.seed);
    this.#prefix = this.#options.idPrefix ?? env.random.uuid().slice(0, 8);
    const { workers, timeoutMs, ratePerSecond, recordsMax } = this.#options;
    this.#client = new HttpClient({ clock: env.clock, connections: workers, timeoutMs });
    this.#history = new History(recordsMax, env.clock.monotonic());
    this.#pace = new Pace(env.clock, ratePerSecond);
    this.#tasks = new TaskGroup((error) => this.fail(error));
  }

  /** Every request so far, in the order in which they ended. */
  get records(): readonly RequestRecord[] {
    return this.#history.records;
  }

  /** One record per acknowledged transfer. */
  acknowledged(): RequestRecord[] {
    return this.#history.acknowledged();
  }

  /** Acknowledgements since then (monotonic ms); for waiting until writes are served again. */
  acknowledgedSince(sinceMs: number): number {
    return this.#history.acknowledgedSince(sinceMs);
  }

  /** The longest time without an acknowledged write that touches the window; see History.gap. Monotonic ms. */
  gap(sinceMs: number, untilMs?: number): Gap {
    return this.#history.gap(sinceMs, this.#env.clock.monotonic(), untilMs);
  }

  /** Counts of the whole run; latencies of what was acknowledged at or after `sinceMs` (default: all). */
  stats(sinceMs = 0): LoadStats {
    const { acknowledged, refused } = this.#settled;
    return {
      ...this.#history.latency(sinceMs),
      acknowledged,
      refused,
      unknown: this.#unknown,
      pending: this.#count - acknowledged - refused,
      reads: this.#reads,
      readsFailed: this.#readsFailed,
      full: this.#history.full,
    };
  }

  /** Ends with transfers under way given `drainMs` (default 2000) to be settled; what is not stays `pending`. */
  async finish(drainMs = 2000): Promise<void> {
    this.#drainMs = drainMs;
    await this.stop();
  }

  protected async onStart(): Promise<void> {
    for (let worker = 0; worker < this.#options.workers; worker++)
      this.#tasks.run(`worker ${worker}`, (signal) => this.#work(worker, signal));
  }

  protected async onStop(): Promise<void> {
    const drained = new AbortController();
    this.#giveUp = drained.signal;
    const timer = this.#env.clock.timer(this.#drainMs, () => {
      drained.abort();
      this.#client.close();
    });
    await this.#tasks.stop();
    timer.cancel();
    this.#client.close();
  }

  /** Aborts when also transfers under way must end. */
  #giveUp: AbortSignal | undefined;

  async #work(worker: number, signal: AbortSignal): Promise<void> {
    let target = worker;
    while (!signal.aborted) {
      await this.#pace.next(signal).catch(() => {});
      if (signal.aborted) return;
      if (this.#random.next() < this.#options.readShare) await this.#read(target++);
      else if (this.#history.full) return;
      else target = await this.#settle(this.#order(), target);
    }
  }

  #order(): Order {
    const { accounts, amountMax } = this.#options;
    const from = pick(this.#random, accounts);
    const others = accounts.filter((account) => account !== from);
    const id = `${this.#prefix}-${this.#count++}`;
    return { id, from, to: pick(this.#random, others), amount: 1 + this.#random.int(amountMax) };
  }

  /** Sends the order until the outcome is known; returns the index of the URL to use next. */
  async #settle(order: Order, target: number): Promise<number> {
    for (let at = target; ; at++) {
      const outcome = await this.#send(order, at);
      if (outcome !== 'unknown') {
        this.#settled[outcome] += 1;
        return at;
      }
      this.#unknown += 1;
      if (this.#giveUp?.aborted || this.#history.full) return at + 1;
      await this.#env.clock.sleep(this.#options.retryMs);
    }
  }

  async #send(order: Order, at: number): Promise<RequestRecord['outcome']> {
    const { urls } = this.#options;
    const { id, ...body } = order;
    const url = urls[at % urls.length] as string;
    const startedAt = this.#env.clock.monotonic();
    const verdict = judge(await this.#client.send('PUT', `${url}/transfers/${id}`, body));
    this.#history.add({ ...order, url, startedAt, endedAt: this.#env.clock.monotonic(), ...verdict });
    return verdict.outcome;
  }

  async #read(at: number): Promise<void> {
    const { urls, accounts } = this.#options;
    const url = urls[at % urls.length] as string;
    const reply = await this.#client.send('GET', `${url}/accounts/${pick(this.#random, accounts)}`);
    this.#reads += 1;
    if (reply.type === 'none' || reply.status !== 200) this.#readsFailed += 1;
  }
}
