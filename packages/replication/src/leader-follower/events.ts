/**
 * What a manager tells its listeners. Listeners run synchronously, in the order they came; one that throws is logged and keeps
 * nobody else from hearing.
 */
import { type Logger, messageOf } from '@canopy/core';
import type { ReplicationRole } from './replication-role.ts';
import type { WriteOperation } from './write-request.ts';

export interface ManagerEvents {
  /** A write of this leader counts: it was sent, or acknowledged by the log. */
  readonly write: { readonly key: string; readonly operation: WriteOperation; readonly sequence: number };
  /** This replica shows a write of the leader. */
  readonly eventApplied: { readonly key: string; readonly operation: WriteOperation; readonly sequence: number };
  /** The heartbeat service holds the leader for dead. A hint, no proof. */
  readonly leaderFailed: { readonly leaderId: string | undefined };
  readonly leaderChanged: { readonly leaderId: string; readonly epoch: number };
  readonly promoted: {
    readonly previousRole: ReplicationRole;
    readonly newRole: ReplicationRole;
    readonly epoch: number;
    readonly forced?: boolean;
  };
  readonly demoted: { readonly reason: string; readonly epoch: number };
  readonly roleChanged: { readonly previousRole: ReplicationRole; readonly newRole: ReplicationRole };
  /** `missing`: events that are awaited and asked for again. `trimmed`: they left the log, a snapshot is needed. `lost`: nobody has them. */
  readonly gap: { readonly from: number; readonly to: number; readonly reason: 'missing' | 'trimmed' | 'lost' };
  /** A write in the log that no store could hold (a key or value that no leader lets in): every replica passes over it. */
  readonly recordSkipped: { readonly sequence: number; readonly problem: string };
  readonly recoveryComplete: { readonly eventsRecovered: number; readonly recoveryDurationMs: number };
  /** Something went wrong in the background; the replica goes on, or says in its next answers that it can't. */
  readonly error: { readonly error: Error; readonly during: string };
}

export type ManagerEvent = keyof ManagerEvents;
export type ManagerListener<E extends ManagerEvent> = (payload: ManagerEvents[E]) => void;

export class Listeners {
  readonly #listeners = new Map<string, Set<(payload: never) => unknown>>();
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  on<E extends ManagerEvent>(event: E, listener: ManagerListener<E>): void {
    const known = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, known.add(listener));
  }

  off<E extends ManagerEvent>(event: E, listener: ManagerListener<E>): void {
    this.#listeners.get(event)?.delete(listener);
  }

  emit<E extends ManagerEvent>(event: E, payload: ManagerEvents[E]): void {
    const failed = (error: unknown): void =>
      this.#log.error('replication_listener_failed', { event, error: messageOf(error) });
    for (const listener of [...(this.#listeners.get(event) ?? [])]) {
      try {
        const result = (listener as ManagerListener<E>)(payload) as unknown;
        // The guide's listeners are asynchronous: what they reject with has no other hearer.
        if (result instanceof Promise) result.catch(failed);
      } catch (error) {
        failed(error);
      }
    }
  }

  clear(event?: ManagerEvent): void {
    if (event === undefined) this.#listeners.clear();
    else this.#listeners.delete(event);
  }
}
