/**
 * Puts an entry into the log, again and again until its outcome is known, and says what is in the way meanwhile. An attempt
 * may take long to fail where NATS is away; the connection says so at once, so that is told first. Invariants: every attempt
 * sends the same entry; that NATS is away is told once an entry, and then, too, that it is over.
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
import type { LogEntry } from '../log/names.ts';
import type { SegmentLog } from '../log/segment-log.ts';
import { type BackPressure, WAL_CAUSE } from './back-pressure.ts';
import type { PendingEntry } from './pending-entry.ts';

const RETRY = { initialMs: 50, maxMs: 2000 };
/** Servers restart: a connection may be gone for so long before anybody is told. */
const AWAY_MS = 2000;
const AWAY = 'NATS is away: what is committed waits in the file, and goes into the log when it is back';
/** The log can't take anything until somebody acts. */
const REFUSALS = ['BLOB_BUCKET_MISSING', 'BUCKET_FULL', 'NATS_PERMISSION', 'SQLITE_DISK_FULL'] as const;

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
  /** That NATS is away was told of the present entry. */
  #isToldAway = false;

  constructor(deps: SenderDeps) {
    this.#deps = deps;
  }

  /** Why the log has not taken the present entry. */
  get problem(): string | undefined {
    return this.#isToldAway && this.#deps.isConnected?.() === false ? AWAY : this.#problem;
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
    this.#isToldAway = false;
    using _watch = this.#watchConnection();
    let mayLand = false;
    for (let attempt = 0; ; attempt++) {
      try {
        const stored = await log.append({ txid, epoch, node, kind, bytes, walChain: end }, { signal });
        this.#problem = undefined;
        const ms = env.clock.monotonic() - startedAt;
        if (this.#isToldAway) onEvent({ type: 'shipping_resumed', position: { epoch, txid }, ms });
        this.#isToldAway = false;
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
    this.#problem = `the log does not take transactions: ${messageOf(error)}`;
    if (hasCode(error, 'SQLITE_DISK_FULL')) this.#problem += '; free some space there, then it goes on by itself';
    // Nothing may be checkpointed meanwhile: it is the disk that fills.
    pressure.press(WAL_CAUSE.unshipped);
    if (pressure.problem !== undefined) this.#problem += `; ${pressure.problem}`;
    onChange();
    if (hasCode(error, ...REFUSALS)) onRefused(error);
    // What an attempt says that NATS has left in the air is no news.
    if (attempt !== 1 || this.#isToldAway) return;
    const code = CanopyError.is(error) ? error.code : 'SHIP_FAILED';
    // Of the others it is for the one who calls, which is us.
    const hint = hasCode(error, ...REFUSALS) ? error.hint : undefined;
    onEvent({ type: 'warning', code, message: this.#problem, hint });
  }

  #watchConnection(): Disposable {
    const { env, position, isConnected, onEvent, onChange } = this.#deps;
    if (isConnected === undefined) return { [Symbol.dispose]: () => {} };
    const startedAt = env.clock.monotonic();
    const look = (): void => {
      if (isConnected()) {
        timer = env.clock.timer(AWAY_MS, look, { background: true });
        return;
      }
      this.#isToldAway = true;
      const sinceMs = env.clock.monotonic() - startedAt;
      onEvent({ type: 'shipping_interrupted', position: position(), sinceMs });
      onChange();
    };
    let timer = env.clock.timer(AWAY_MS, look, { background: true });
    return { [Symbol.dispose]: () => timer.cancel() };
  }
}
