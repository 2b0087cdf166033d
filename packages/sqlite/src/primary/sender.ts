/**
 * Puts an entry into the log, again and again until its outcome is known, and says what is in the way meanwhile. An attempt
 * may take long to fail where NATS is away or stores nothing, so what is in the way is looked for meanwhile. Invariants: every
 * attempt sends the same entry; what is in the way is told once an entry, and then, too, that it is over.
 */
import {
  backoffMs,
  CanopyError,
  type DatabaseEvent,
  type Env,
  type Epoch,
  hasCode,
  messageOf,
  type Position,
} from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import type { LogEntry } from '../log/names.ts';
import type { SegmentLog } from '../log/segment-log.ts';
import { type BackPressure, WAL_CAUSE } from './back-pressure.ts';
import type { PendingEntry } from './pending-entry.ts';
import { type Obstacle, UnansweredPut } from './unanswered-put.ts';

const RETRY = { initialMs: 50, maxMs: 2000 };
const AWAY = 'NATS is away: what is committed waits in the file, and goes into the log when it is back';
/** The log can't take anything until somebody acts. */
const REFUSALS = [
  'BLOB_BUCKET_MISSING',
  'BUCKET_FULL',
  'NATS_STORAGE_FULL',
  'NATS_PERMISSION',
  'SQLITE_DISK_FULL',
] as const;

export interface SenderDeps {
  readonly env: Env;
  readonly log: SegmentLog;
  readonly epoch: Epoch;
  readonly node: string;
  readonly pressure: Pick<BackPressure, 'press' | 'problem'>;
  /** Whether NATS is reached now. Absent: the log is not in NATS. */
  isConnected?(): boolean;
  /** What is in the log. */
  position(): Position;
  onEvent(event: DatabaseEvent): void;
  /** `problem` changed. */
  onChange(): void;
  /** The present entry is given up: what it was read from has moved. */
  onMoved(): void;
  /** Somebody has to do something before it can go on; it is tried again all the same. */
  onRefused(error: CanopyError): void;
}

export class Sender {
  readonly #deps: SenderDeps;
  #problem: string | undefined;
  /** What is in the way of the present entry, while it is. */
  #obstacle: Obstacle | undefined;
  /** Something in the way was told of the present entry. */
  #isTold = false;

  constructor(deps: SenderDeps) {
    this.#deps = deps;
  }

  /** Why the log has not taken the present entry. */
  get problem(): string | undefined {
    if (this.#obstacle === 'away') return this.#deps.isConnected?.() === false ? AWAY : this.#problem;
    return this.#obstacle === undefined ? this.#problem : textOf(this.#unstored(this.#obstacle));
  }

  /**
   * One at a time. Throws SQLITE_FENCED, SQLITE_LOG_LOST, the signal's reason, and SQLITE_IMAGE_MOVED for what moved while it
   * was read: it is given up, but not where an earlier try may still land, because another entry under its name would be
   * taken for it.
   */
  async send(entry: PendingEntry, signal: AbortSignal): Promise<LogEntry> {
    const { env, log, epoch, node, onEvent, onMoved } = this.#deps;
    const { txid, kind, bytes, end } = entry;
    const startedAt = env.clock.monotonic();
    this.#isTold = false;
    using _watch = this.#watch();
    let mayLand = false;
    for (let attempt = 0; ; attempt++) {
      try {
        const stored = await log.append({ txid, epoch, node, kind, bytes, walChain: end }, { signal });
        this.#problem = undefined;
        const ms = env.clock.monotonic() - startedAt;
        if (this.#isTold) onEvent({ type: 'shipping_resumed', position: { epoch, txid }, ms });
        return stored;
      } catch (error) {
        signal.throwIfAborted();
        if (hasCode(error, 'SQLITE_IMAGE_MOVED') && !mayLand) onMoved();
        if (hasCode(error, 'SQLITE_FENCED', 'SQLITE_LOG_LOST', 'SQLITE_IMAGE_MOVED')) throw error;
        mayLand ||= hasCode(error, 'SQLITE_APPEND_UNKNOWN');
        this.#failed(error, attempt);
        await env.clock.sleep(backoffMs(attempt, RETRY, env.random), { signal });
      }
    }
  }

  #failed(error: unknown, attempt: number): void {
    const { pressure, onEvent, onChange, onRefused } = this.#deps;
    // Whether a directory has it is known well enough where its disk is full; what to do is what counts.
    const isFull = hasCode(error, 'SQLITE_APPEND_UNKNOWN') && hasCode(error.cause, 'SQLITE_DISK_FULL');
    const reason = isFull ? (error as CanopyError).cause : error;
    this.#problem = `the log does not take transactions: ${messageOf(reason)}`;
    if (hasCode(reason, 'SQLITE_DISK_FULL')) this.#problem += '; free some space there, then it goes on by itself';
    // Nothing may be checkpointed meanwhile: it is the disk that fills.
    pressure.press(WAL_CAUSE.unshipped);
    if (pressure.problem !== undefined) this.#problem += `; ${pressure.problem}`;
    onChange();
    if (hasCode(error, ...REFUSALS)) onRefused(error);
    // What an attempt says that NATS has left in the air is no news.
    if (attempt !== 1 || this.#isTold) return;
    const code = CanopyError.is(reason) ? reason.code : 'SHIP_FAILED';
    // Of the others it is for the one who calls, which is us.
    const hint = hasCode(reason, ...REFUSALS) ? reason.hint : undefined;
    onEvent({ type: 'warning', code, message: this.#problem, hint });
  }

  #watch(): Disposable {
    const { env, log, position, isConnected, onEvent, onChange } = this.#deps;
    const end = (): void => {
      this.#obstacle = undefined;
    };
    if (isConnected === undefined) return { [Symbol.dispose]: end };
    const startedAt = env.clock.monotonic();
    const onObstacle = (obstacle: Obstacle | undefined): void => {
      this.#obstacle = obstacle;
      onChange();
      if (this.#isTold || obstacle === undefined) return;
      this.#isTold = true;
      const sinceMs = env.clock.monotonic() - startedAt;
      if (obstacle === 'away') onEvent({ type: 'shipping_interrupted', position: position(), sinceMs });
      else onEvent(warningOf(this.#unstored(obstacle)));
    };
    const looking = new UnansweredPut({ clock: env.clock, store: log.store, isConnected, onObstacle });
    return {
      [Symbol.dispose]: () => {
        looking[Symbol.dispose]();
        end();
      },
    };
  }

  #unstored(obstacle: 'silent' | 'stuck'): CanopyError {
    const { bucket } = this.#deps.log;
    return sqliteErrors.create(obstacle === 'stuck' ? 'SQLITE_LOG_STUCK' : 'SQLITE_LOG_SILENT', { bucket });
  }
}

function textOf({ message, hint }: CanopyError): string {
  return hint === undefined ? message : `${message}. ${hint}`;
}

function warningOf(error: CanopyError): DatabaseEvent {
  return { type: 'warning', code: error.code, message: textOf(error) };
}
