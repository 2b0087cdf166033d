/**
 * The database process's side of the conversation with its parent: calls in, results, status and events out.
 * Status goes out at most every few milliseconds, newest wins; events go out each.
 */
import {
  type AdminRequest,
  createLogger,
  type DatabaseEvent,
  type Env,
  type Position,
  type SyncOptions,
} from '@canopy/core';
import type { DatabaseEngine } from './engine.ts';
import { type CallMethod, encodeError, encodeEvent, type FromDatabase, type ToDatabase } from './protocol.ts';

const STATUS_INTERVAL_MS = 20;

export class EngineServer {
  readonly #engine: DatabaseEngine;
  readonly #env: Env;
  readonly #send: (message: FromDatabase) => void;
  readonly #calls = new Map<number, AbortController>();
  #statusDue = false;

  constructor(engine: DatabaseEngine, env: Env, send: (message: FromDatabase) => void) {
    this.#engine = engine;
    this.#env = env;
    this.#send = send;
  }

  receive(message: ToDatabase): void {
    if (message.type === 'abort') this.#calls.get(message.id)?.abort(new DOMException(message.reason, 'AbortError'));
    else if (message.type === 'call') void this.#call(message.id, message.method, message.argument);
  }

  event(event: DatabaseEvent): void {
    // A role must never be seen older than the event that announces it.
    if (event.type === 'role_changed') this.#sendStatus();
    this.#send({ type: 'event', event: encodeEvent(event) });
  }

  statusChanged(): void {
    if (this.#statusDue) return;
    this.#statusDue = true;
    this.#env.clock.timer(STATUS_INTERVAL_MS, () => this.#sendStatus(), { background: true });
  }

  async #call(id: number, method: CallMethod, argument: unknown): Promise<void> {
    const controller = new AbortController();
    this.#calls.set(id, controller);
    try {
      const value = await this.#run(method, argument, controller.signal, id);
      this.#sendStatus();
      this.#send({ type: 'result', id, value });
    } catch (error) {
      this.#sendStatus();
      this.#send({ type: 'error', id, error: encodeError(error) });
    } finally {
      this.#calls.delete(id);
    }
  }

  async #run(method: CallMethod, argument: unknown, signal: AbortSignal, id: number): Promise<unknown> {
    const engine = this.#engine;
    if (method === 'start') return engine.start({ signal });
    if (method === 'promote')
      return engine.promote({ ...(argument as { epoch: Parameters<typeof engine.promote>[0]['epoch'] }), signal });
    if (method === 'demote')
      return engine.demote({ onShipped: (position) => this.#send({ type: 'shipped', id, position }) });
    if (method === 'sync') return engine.sync({ ...(argument as Pick<SyncOptions, 'durability'> | undefined), signal });
    if (method === 'waitFor') return engine.waitFor(argument as Position, { signal });
    // The status goes before every answer.
    if (method === 'ping') return undefined;
    if (method === 'admin') return engine.admin(argument as AdminRequest, { signal });
    return engine.stop();
  }

  #sendStatus(): void {
    this.#statusDue = false;
    this.#send({ type: 'status', status: this.#engine.status() });
  }
}

/** A log port whose lines are written by the parent. */
export function forwardLog(send: (message: FromDatabase) => void): Env['log'] {
  return createLogger((level, event, fields) =>
    send({ type: 'log', level, event, fields: JSON.parse(JSON.stringify(fields)) }),
  );
}
