/**
 * A primary's side of `applied: n`: waits until n standbys have said that they have a position. It listens only while
 * somebody waits and a little longer, asks when waiting begins and again every half second, because both questions and
 * answers may be lost.
 */
import { abortable, type Env, formatPosition, messageOf, type Position } from '@canopy/core';
import type { Bus } from '@canopy/nats';
import { sqliteErrors } from '../errors.ts';
import { AppliedBoard } from './board.ts';
import { askSubject, type LogIdentity, reportSubject } from './subjects.ts';

const ASK_MS = 500;
/** How long it goes on listening when nobody waits any more. */
const LINGER_MS = 30_000;

export interface AppliedWaitDeps {
  readonly bus: Bus;
  readonly log: LogIdentity;
  /** Names our own file, which never counts. */
  readonly spec: { readonly node: string; readonly path: string };
  readonly env: Env;
}

export interface AppliedOrder {
  /** Standbys wanted, at least 1. */
  readonly count: number;
  /** The position to wait for, once it is in the log. What standbys say meanwhile counts already. */
  readonly stored: Promise<Position>;
  /** Where there is no point in waiting any more: what rejects with the reason. */
  ended(): Promise<unknown> | undefined;
  readonly signal?: AbortSignal | undefined;
}

export class AppliedWait {
  readonly #deps: AppliedWaitDeps;
  readonly #board: AppliedBoard;
  #waiting = 0;
  #listening: AbortController | undefined;
  #lastAt = 0;
  /** Replaced with each report. */
  #news = Promise.withResolvers<void>();

  constructor(deps: AppliedWaitDeps) {
    this.#deps = deps;
    const { node, path: copy } = deps.spec;
    this.#board = new AppliedBoard(deps.log, { node, copy });
  }

  /**
   * Resolves with the position when `count` distinct standbys have it applied; any program that reads their files from
   * then on sees it. Throws what `stored` throws, `ended` when it says so, and SQLITE_NOT_APPLIED (fields applied, wanted,
   * nodes) when the signal aborts.
   */
  async wait(order: AppliedOrder): Promise<Position> {
    this.#waiting++;
    try {
      this.#listen();
      const { mark } = this.#board;
      this.#ask();
      return await this.#until(order, await order.stored, mark);
    } finally {
      this.#waiting--;
      this.#lastAt = this.#deps.env.clock.monotonic();
    }
  }

  async #until({ count, ended, signal }: AppliedOrder, position: Position, mark: number): Promise<Position> {
    const { clock } = this.#deps.env;
    for (;;) {
      const nodes = this.#board.have(position, mark);
      if (nodes.length >= count) return position;
      await ended();
      if (signal?.aborted) throw this.#missed(position, nodes, count);
      const pause = Promise.withResolvers<void>();
      const timer = clock.timer(ASK_MS, () => {
        this.#ask();
        pause.resolve();
      });
      await abortable(Promise.race([pause.promise, this.#news.promise]), signal).catch(() => {});
      timer.cancel();
    }
  }

  #missed(position: Position, nodes: readonly string[], wanted: number): Error {
    return sqliteErrors.create('SQLITE_NOT_APPLIED', {
      position: formatPosition(position),
      applied: nodes.length,
      wanted,
      nodes: nodes.join(', '),
      seen: this.#board.describe(),
    });
  }

  #ask(): void {
    const { bus, log, env } = this.#deps;
    try {
      bus.publish(askSubject(log.bucket), new Uint8Array(0));
    } catch (error) {
      env.log.debug('applied_ask_failed', { reason: messageOf(error) });
    }
  }

  #listen(): void {
    if (this.#listening !== undefined) return;
    const controller = new AbortController();
    this.#listening = controller;
    const { bus, log, env } = this.#deps;
    // Subscribed at once: the question that follows finds us listening.
    const messages = bus.subscribe(reportSubject(log.bucket), { signal: controller.signal });
    const read = async (): Promise<void> => {
      for await (const message of messages) {
        if (!this.#board.hear(message.data)) continue;
        const { resolve } = this.#news;
        this.#news = Promise.withResolvers<void>();
        resolve();
      }
    };
    read()
      .catch((error) => env.log.warn('applied_not_heard', { reason: messageOf(error) }))
      .finally(() => {
        if (this.#listening === controller) this.#listening = undefined;
      });
    this.#restLater(controller);
  }

  #restLater(controller: AbortController): void {
    const { clock } = this.#deps.env;
    const look = (): void => {
      const idle = this.#waiting === 0 && clock.monotonic() - this.#lastAt >= LINGER_MS;
      if (idle) controller.abort(new DOMException('nobody waits', 'AbortError'));
      else if (!controller.signal.aborted) this.#restLater(controller);
    };
    clock.timer(LINGER_MS, look, { background: true });
  }
}
