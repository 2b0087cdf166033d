/** The shell around the membership machine: watches the bucket, ticks the clock, tells those who listen. */
import {
  abortable,
  Broadcast,
  type Env,
  messageOf,
  TaskGroup,
  type Timer,
  type WatchOptions,
  withDeadline,
} from '@canopy/core';
import type { Kv } from '@canopy/nats';
import { type Member, type MemberEvent, type MemberHealth, MembershipMachine } from './machine.ts';
import { memberMetrics } from './metrics.ts';
import { decodeRecord } from './record.ts';

const START_TIMEOUT_MS = 10_000;

export interface DirectoryOptions {
  readonly kv: Kv;
  readonly refreshMs: number;
  /** Called for each event, in order, before watchers see it. */
  readonly onEvent?: (event: MemberEvent) => void;
}

export class Directory {
  readonly #options: DirectoryOptions;
  readonly #env: Env;
  readonly #machine: MembershipMachine;
  readonly #broadcast = new Broadcast<MemberEvent>({ onOverflow: (lost) => ({ type: 'overflow', lost }) });
  readonly #tasks: TaskGroup;
  readonly #synced = Promise.withResolvers<void>();
  readonly #gauge: ReturnType<typeof memberMetrics>['members'];
  #ticker: Timer | undefined;

  constructor(options: DirectoryOptions, env: Env) {
    this.#options = options;
    this.#env = env;
    this.#machine = new MembershipMachine(options.refreshMs);
    this.#gauge = memberMetrics(env.metrics).members;
    this.#tasks = new TaskGroup((error, task) => {
      env.log.error('directory_task_failed', { task, error: messageOf(error) });
      this.#synced.reject(error);
    });
    this.#synced.promise.catch(() => {});
  }

  /** Resolves when everybody present is known; DEADLINE_EXCEEDED after 10 s. */
  async start(signal?: AbortSignal): Promise<void> {
    this.#tasks.run('watch', (signal) => this.#watch(signal));
    this.#tick();
    const synced = abortable(this.#synced.promise, signal);
    await withDeadline(this.#env.clock, 'watch of the members', START_TIMEOUT_MS, synced);
  }

  members(): readonly Member[] {
    return this.#machine.members();
  }

  get(id: string): Member | undefined {
    return this.#machine.get(id);
  }

  /** A `joined` event for each present member first, then what happens. */
  watch(options: WatchOptions = {}): AsyncIterableIterator<MemberEvent> {
    const first = this.#machine.members().map((member): MemberEvent => ({ type: 'joined', member }));
    return this.#broadcast.watch({ ...options, first });
  }

  async stop(): Promise<void> {
    this.#ticker?.cancel();
    this.#ticker = undefined;
    this.#synced.reject(new DOMException('stopped', 'AbortError'));
    await this.#tasks.stop();
    this.#broadcast.close();
  }

  async #watch(signal: AbortSignal): Promise<void> {
    for await (const event of this.#options.kv.watch('>', { signal })) {
      const now = this.#env.clock.monotonic();
      if (event.type === 'interrupted') this.#machine.interrupted();
      else if (event.type === 'synced') {
        this.#machine.synced(now);
        this.#synced.resolve();
      } else if (event.entry.operation === 'delete') this.#tell(this.#machine.removed(event.entry.key));
      else {
        const record = decodeRecord(event.entry.value);
        if (record === undefined || record.id !== event.entry.key)
          this.#env.log.warn('member_record_invalid', { key: event.entry.key });
        else this.#tell(this.#machine.observe(record, event.entry.revision, now));
      }
    }
  }

  #tick(): void {
    this.#tell(this.#machine.tick(this.#env.clock.monotonic()));
    const counts: Record<MemberHealth, number> = { alive: 0, suspect: 0, gone: 0 };
    for (const member of this.#machine.members()) counts[member.health] += 1;
    for (const [health, count] of Object.entries(counts)) this.#gauge.set(count, { health });
    this.#ticker = this.#env.clock.timer(this.#options.refreshMs / 2, () => this.#tick(), { background: true });
  }

  #tell(events: readonly MemberEvent[]): void {
    for (const event of events) {
      if (event.type !== 'overflow' && event.type !== 'updated')
        this.#env.log.info(`member_${event.type}`, {
          member: event.member.record.id,
          incarnation: event.member.record.incarnation,
        });
      this.#options.onEvent?.(event);
      this.#broadcast.send(event);
    }
  }
}
