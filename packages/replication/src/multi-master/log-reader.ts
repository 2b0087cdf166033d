/**
 * Brings the events of the log to a master, from where its store says it stands. Many at a time go to the store in one commit; a commit that
 * fails is tried again and nothing more is read before. A log whose front is gone needs a snapshot.
 */
import { backoffMs, type Env, messageOf } from '@canopy/core';
import { replicationErrors } from '../errors.ts';
import type { EventLog, LogReadEvent } from '../ports/event-log.ts';
import type { MasterCore } from './master-core.ts';
import { TOPICS } from './outbox-shipper.ts';

/** Messages of the log in one commit, packs counting once: what waits for it is in memory. */
const MESSAGES_MAX = 256;
/** Changes in one commit: a local write may have to wait for it. Of an entity that several masters wrote to meanwhile only the last one counts. */
const CHANGES_MAX = 2048;
const RETRY = { initialMs: 100, maxMs: 5000 };

export interface LogReaderHooks {
  /** Something was committed. */
  readonly onProgress: () => void;
  /** Before the log is read: looks at which log it is. Throws what ends this master. */
  readonly check: (signal: AbortSignal) => Promise<unknown>;
  /** Loads a snapshot that reaches `first`; false when there is none. */
  readonly restore: (first: number, signal: AbortSignal) => Promise<boolean>;
  /** Events of other kinds, such as comparisons; once their position is stored. */
  readonly onOther: (event: unknown) => void;
}

export class LogReader {
  readonly #core: MasterCore;
  readonly #log: EventLog;
  readonly #env: Env;
  readonly #hooks: LogReaderHooks;
  readonly #others: unknown[] = [];
  #hasCaughtUp = false;

  constructor(core: MasterCore, log: EventLog, env: Env, hooks: LogReaderHooks) {
    this.#core = core;
    this.#log = log;
    this.#env = env;
    this.#hooks = hooks;
  }

  /** Everything that the log had at some moment since the start has been read. */
  get hasCaughtUp(): boolean {
    return this.#hasCaughtUp;
  }

  /** Until the signal aborts or the master has failed. */
  async run(signal: AbortSignal): Promise<void> {
    for (let attempt = 0; !signal.aborted && this.#core.failure === undefined; attempt++) {
      try {
        await this.#hooks.check(signal);
        const before = this.#core.position;
        await this.#read(signal);
        if (this.#core.position > before) attempt = -1;
      } catch (error) {
        if (signal.aborted) return;
        this.#env.log.warn('log_read_failed', { log: this.#log.name, problem: messageOf(error) });
      }
      await this.#env.clock.sleep(backoffMs(Math.max(0, attempt), RETRY, this.#env.random), { signal }).catch(() => {});
    }
  }

  async #read(signal: AbortSignal): Promise<void> {
    const events = this.#log.read({ after: this.#core.position, topic: TOPICS, signal })[Symbol.asyncIterator]();
    try {
      let collected = 0;
      for (let next = events.next(); ; next = events.next()) {
        const isFull = collected >= MESSAGES_MAX || this.#core.state.pending >= CHANGES_MAX;
        if (collected > 0 && (isFull || !(await isSoon(next)))) {
          await this.#commit(signal);
          collected = 0;
        }
        const { done, value } = await next;
        // Why it ends is stored, so that it is known when this store is used again.
        if (this.#core.failure !== undefined && collected > 0) this.#core.flush();
        if (done || signal.aborted || this.#core.failure !== undefined) return;
        if (value.type === 'event') {
          this.#receive(value);
          collected += 1;
        } else if (value.type === 'caught-up') {
          this.#hasCaughtUp = true;
          await this.#commit(signal);
          collected = 0;
        } else if (value.type === 'trimmed') {
          await this.#commit(signal);
          if (value.first > this.#core.position + 1 && (await this.#restored(value.first, signal))) return;
        }
      }
    } finally {
      await events.return?.(undefined);
    }
  }

  #receive(event: Extract<LogReadEvent, { type: 'event' }>): void {
    const { type } = (event.event ?? {}) as { type?: unknown };
    if (type === 'digest' || type === 'repair') {
      this.#others.push(event.event);
      if (event.sequence > this.#core.position) this.#core.position = event.sequence;
    } else this.#core.receive(event);
  }

  async #restored(first: number, signal: AbortSignal): Promise<boolean> {
    if (await this.#hooks.restore(first, signal)) return true;
    const { position, self } = this.#core;
    // Nothing of ours is missing when the log never had more than what was trimmed away before anybody joined.
    const fields = { masterId: self?.masterId, position, log: this.#log.name, first };
    this.#core.fail(replicationErrors.create('MASTER_LOG_TRIMMED', fields));
    return true;
  }

  async #commit(signal: AbortSignal): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      try {
        this.#core.flush();
        break;
      } catch (error) {
        this.#env.log.error('store_failed', { problem: messageOf(error) });
        await this.#env.clock.sleep(backoffMs(attempt, RETRY, this.#env.random), { signal });
      }
    }
    for (const event of this.#others.splice(0)) this.#hooks.onOther(event);
    this.#hooks.onProgress();
  }
}

/** Whether it is there, or will be within a few turns of promises: then it is worth waiting for before a commit. */
async function isSoon(next: Promise<unknown>): Promise<boolean> {
  let there = false;
  next.then(
    () => {
      there = true;
    },
    () => {
      there = true;
    },
  );
  for (let turn = 0; turn < 16 && !there; turn++) await undefined;
  return there;
}
