/**
 * Keeps an app's database open for as long as the app runs. A database that has failed is closed and opened again after
 * a rest; until then `ready` waits. It also passes on what the database tells: steps of a promotion, fencing, failure.
 */
import {
  abortable,
  backoffMs,
  type DatabaseContext,
  type DatabaseEvent,
  type DatabaseProvider,
  type DatabaseStatus,
  messageOf,
  type Promotable,
  TaskGroup,
} from '@canopy/core';
import { databaseObstacle } from './readiness.ts';

const REOPEN = { initialMs: 500, maxMs: 30_000 };

export interface DatabaseKeeperDeps {
  readonly provider: DatabaseProvider;
  readonly context: DatabaseContext;
  readonly onEvent: (event: DatabaseEvent) => void;
}

export class DatabaseKeeper {
  readonly #deps: DatabaseKeeperDeps;
  readonly #tasks: TaskGroup;
  #database: Promotable | undefined;
  #ready = Promise.withResolvers<Promotable>();
  #problem: string | undefined;

  constructor(deps: DatabaseKeeperDeps) {
    this.#deps = deps;
    this.#ready.promise.catch(() => {});
    this.#tasks = new TaskGroup((error, task) =>
      deps.context.env.log.error('database_task_failed', { task, error: messageOf(error) }),
    );
  }

  /** Why there is no usable database now. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Why it can't be promoted now. */
  get obstacle(): string | undefined {
    return this.#problem ?? databaseObstacle(this.status());
  }

  /** The present one; also one that has failed. */
  get database(): Promotable | undefined {
    return this.#database;
  }

  /** Resolves when it follows the log; rejects as the database's start does, with nothing left open. */
  async start(signal?: AbortSignal): Promise<void> {
    const database = await this.#open(signal);
    this.#tasks.run('keep', (stopped) => this.#keep(database, stopped));
  }

  /** The open database, waiting for one that is being opened again. */
  ready(signal: AbortSignal): Promise<Promotable> {
    return abortable(this.#ready.promise, signal);
  }

  status(): DatabaseStatus | undefined {
    return this.#database?.status();
  }

  async stop(): Promise<void> {
    this.#ready.reject(new DOMException('stopped', 'AbortError'));
    const stopping = this.#tasks.stop();
    await this.#database?.stop();
    await stopping;
  }

  async #open(signal: AbortSignal | undefined): Promise<Promotable> {
    const database = this.#deps.provider.open(this.#deps.context);
    try {
      await database.start({ signal });
    } catch (error) {
      await database.stop().catch(() => {});
      throw error;
    }
    this.#database = database;
    this.#problem = undefined;
    this.#ready.resolve(database);
    return database;
  }

  async #keep(first: Promotable, signal: AbortSignal): Promise<void> {
    const { log, clock, random } = this.#deps.context.env;
    let database = first;
    for (let failures = 0; ; ) {
      const openedAt = clock.monotonic();
      await this.#follow(database, signal);
      if (signal.aborted) return;
      if (clock.monotonic() - openedAt > 60_000) failures = 0;
      this.#ready = Promise.withResolvers();
      this.#ready.promise.catch(() => {});
      await database.stop().catch((error: unknown) => log.warn('database_stop_failed', { error: messageOf(error) }));
      for (let isOpen = false; !isOpen; ) {
        await clock.sleep(backoffMs(failures, REOPEN, random), { signal });
        failures += 1;
        try {
          database = await this.#open(signal);
          isOpen = true;
        } catch (error) {
          if (signal.aborted) return;
          this.#problem = messageOf(error);
          log.warn('database_reopen_failed', { error: this.#problem, failures });
        }
      }
      log.info('database_reopened', { failures });
    }
  }

  /** Passes events on; returns when the database has failed or ended. */
  async #follow(database: Promotable, signal: AbortSignal): Promise<void> {
    for await (const event of database.watch({ signal })) {
      if (event.type === 'failed') this.#problem = messageOf(event.error);
      this.#deps.onEvent(event);
      if (event.type === 'failed') return;
    }
    if (!signal.aborted) this.#problem ??= 'the database has ended';
  }
}
