/**
 * One node of the simulated group: what it has of its own (a disk, a clock, a way to the log), and what can happen to these. A frozen
 * node's timers and calls wait until it thaws, while time passes for everybody; a crashed one does nothing any more, though what it had
 * sent may still arrive.
 */
import { type Clock, coreErrors, type Env, type Random } from '@canopy/core';
import type {
  AppendOptions,
  AppendResult,
  DurableStateStore,
  EventLog,
  Json,
  LogReadEvent,
  ReadOptions,
  ReplicaPosition,
  StateChange,
} from '@canopy/replication';
import type { MemoryState } from '../memory-state.ts';

/** Mistakes that the checks must find. */
export const PLANTED = [
  'no_condition',
  'blind_ack',
  'conflict_is_success',
  'torn_commit',
  'no_fence',
  'skipping_reader',
  'early_position',
  'snapshot_says_more',
  'reads_without_token',
  'forgets_unknown',
  'boastful_follower',
] as const;
export type Plant = (typeof PLANTED)[number] | 'none';

/** A process that can be frozen, and ends once. */
export class Life {
  dead = false;
  #frozen: PromiseWithResolvers<void> | undefined;

  get frozen(): boolean {
    return this.#frozen !== undefined;
  }

  freeze(): void {
    this.#frozen ??= Promise.withResolvers();
  }

  thaw(): void {
    this.#frozen?.resolve();
    this.#frozen = undefined;
  }

  /** Passes when it runs; never when it has crashed. */
  async runs(): Promise<void> {
    while (this.#frozen !== undefined) await this.#frozen.promise;
    if (this.dead) throw new Error('crashed');
  }
}

export function clockOf(life: Life, clock: Clock): Clock {
  const timer: Clock['timer'] = (ms, run) =>
    clock.timer(ms, () => {
      if (!life.frozen && !life.dead) run();
      else life.runs().then(run, () => {});
    });
  return {
    wall: () => clock.wall(),
    monotonic: () => clock.monotonic(),
    timer,
    sleep: (ms, options) => clock.sleep(ms, options).then(() => life.runs()),
  };
}

/** The disk as this life sees it: a crashed process writes nothing more. */
export function diskOf(life: Life, state: MemoryState, random: Random, plant: Plant): DurableStateStore {
  const alive = (): void => {
    if (life.dead) throw new Error('crashed');
  };
  return {
    get: (key) => state.get(key),
    set: (key, value) => state.set(key, value),
    delete: (key) => state.delete(key),
    has: (key) => state.has(key),
    getAll: () => state.getAll(),
    getVersion: (key) => state.getVersion(key),
    position: () => state.position(),
    snapshot: () => state.snapshot(),
    apply(changes: readonly StateChange[], position: ReplicaPosition): void {
      alive();
      if (plant === 'torn_commit' && random.int(20) === 0) state.apply([], position);
      else if (plant === 'early_position' && random.int(10) === 0)
        state.apply(changes, { ...position, sequence: position.sequence + 1 });
      else state.apply(changes, position);
    },
    async replace(entries, position): Promise<void> {
      alive();
      await state.replace(entries, position);
      alive();
    },
  };
}

/** The log as this life reaches it. */
export class LogOfLife implements EventLog {
  readonly name: string;
  readonly #life: Life;
  readonly #log: EventLog;
  readonly #env: Env;
  readonly #plant: Plant;
  readonly #world: Clock;
  readonly #turmoil: () => boolean;

  constructor(life: Life, log: EventLog, env: Env, plant: Plant, world: Clock, turmoil: () => boolean) {
    this.#world = world;
    this.#turmoil = turmoil;
    this.name = log.name;
    this.#life = life;
    this.#log = log;
    this.#env = env;
    this.#plant = plant;
  }

  async send(): Promise<void> {
    throw new Error('a manager on a log appends');
  }

  async append(event: Json, options: AppendOptions = {}): Promise<AppendResult> {
    const { expectedLastSequence = 0, ...unconditional } = options;
    const blind = this.#plant === 'no_condition' && options.topic === 'write';
    try {
      return await this.#through(async () => {
        if (this.#turmoil() && this.#env.random.int(30) === 0) return this.#late(event, options);
        const result = await this.#log.append(event, blind ? unconditional : options);
        if (blind) return { ...result, sequence: expectedLastSequence + 1 };
        // A client that repeats what it has sent: the log knows the id.
        if (this.#env.random.int(10) === 0) return this.#log.append(event, options);
        return result;
      });
    } catch (error) {
      const { code } = error as { code?: string };
      const isWrite = options.topic === 'write';
      if (isWrite && this.#plant === 'blind_ack' && code === 'DEADLINE_EXCEEDED')
        return { sequence: expectedLastSequence + 1, duplicate: false };
      if (isWrite && this.#plant === 'conflict_is_success' && code === 'EVENT_LOG_CONFLICT')
        return { sequence: expectedLastSequence + 1, duplicate: false };
      throw error;
    }
  }

  info(options: Parameters<EventLog['info']>[0]): ReturnType<EventLog['info']> {
    return this.#through(() => this.#log.info(options));
  }

  trim(upTo: number): Promise<void> {
    return this.#through(() => this.#log.trim(upTo));
  }

  async *read(options: ReadOptions = {}): AsyncGenerator<LogReadEvent, void, undefined> {
    for await (const item of this.#log.read(options)) {
      await this.#life.runs();
      if (item.type !== 'event') {
        yield item;
        continue;
      }
      if (this.#plant === 'skipping_reader' && this.#env.random.int(30) === 0) continue;
      const isWrite = this.#plant === 'no_fence' && item.topic === 'write';
      yield isWrite ? { ...item, event: { ...(item.event as object), epoch: 1e6 } as Json } : item;
    }
  }

  /** On its way when its sender has given up: it arrives later, if the log still takes it then. */
  async #late(event: Json, options: AppendOptions): Promise<never> {
    const { timeoutMs = 0 } = options;
    this.#world.timer(timeoutMs + this.#env.random.int(600), () => {
      this.#log.append(event, options).catch(() => {});
    });
    await this.#world.sleep(timeoutMs);
    throw coreErrors.create('DEADLINE_EXCEEDED', { operation: 'append', timeoutMs });
  }

  async #through<T>(call: () => Promise<T>): Promise<T> {
    await this.#life.runs();
    try {
      return await call();
    } finally {
      await this.#life.runs();
    }
  }
}
