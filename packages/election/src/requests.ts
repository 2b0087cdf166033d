/**
 * The machine's requests on their way: what is asked beside them, what is waited for before an answer is handed on, and
 * what is said of how they ended. Invariants: a lease is first seen held by a look that the watch precedes; no acquiring write is sent before the record of epochs was asked for, and no
 * term begins before it was asked again beside that write; nothing is written while the watchdog still lets go of a lease.
 */
import type { Clock, Logger } from '@canopy/core';
import type { EpochRecord } from './epoch-record.ts';
import type { LeaseKey, Outcome, Request } from './lease-key.ts';
import type { MachineEvent } from './machine/state.ts';
import type { ElectionMetrics } from './metrics.ts';
import { failureKind } from './retry/failure-kind.ts';

/** So many attempts to take a lease without success, and nobody else seen who did, are worth a warning. */
const ATTEMPTS_MAX = 4;
/** The write that the first look brings about counts on the record as it was asked for beside that look. */
const FRESH_MS = 100;

export interface RequestPorts {
  readonly key: LeaseKey;
  readonly record: EpochRecord | undefined;
  /** What the record said at the start, 0 for nothing. Never rejects. */
  readonly recorded: Promise<number>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: ElectionMetrics;
  /** Resolves when the watchdog has let go of the last lease. Never rejects. */
  readonly cleared: () => Promise<void>;
  /** Resolves when the watch of the key hears every change, or could not be had in time. Never rejects. */
  readonly watching: () => Promise<void>;
  /** Whether a write now renews what is held. */
  readonly holding: () => boolean;
  /** A renewal is about to be sent. */
  readonly onRenewal: () => void;
  readonly feed: (event: MachineEvent) => void;
}

export class Requests {
  readonly #ports: RequestPorts;
  /** Resolves when the machine knows what the record said at the start. */
  readonly #recorded: Promise<void>;
  /** A look has been answered. */
  #seen = false;
  /** The recorded epoch, asked for beside the acquiring write. */
  #floor: Promise<number> = Promise.resolve(0);
  #attempts = 0;

  constructor(ports: RequestPorts) {
    this.#ports = ports;
    this.#recorded = ports.recorded.then((epoch) => ports.feed({ type: 'floor', epoch }));
  }

  /** What the record said beside the last acquiring write. Never rejects. */
  get floor(): Promise<number> {
    return this.#floor;
  }

  /** Sends the request and feeds its outcome. Never rejects. */
  async perform(request: Request): Promise<void> {
    const { key, clock, onRenewal, holding, cleared, feed } = this.#ports;
    if (request.type === 'read') {
      const outcome = this.#seen ? await key.perform(request) : await this.#firstLook(request);
      this.#looked(outcome.event);
      this.#ended(request, outcome);
      feed(outcome.event);
      return;
    }
    const writes = request.type !== 'delete';
    const renews = writes && holding();
    const sentAt = clock.monotonic();
    // Begun before the heartbeat is sent, and not waited for.
    if (renews) onRenewal();
    await cleared();
    const answer = key.perform(request);
    if (writes && !renews) this.#floor = this.#ports.record?.read({ freshMs: FRESH_MS }) ?? this.#floor;
    const outcome = await answer;
    this.#ended(request, outcome);
    if (renews && outcome.event.type !== 'written') this.#ports.metrics.renewalFailed(clock.monotonic() - sentAt);
    if (writes && !renews) this.#attempted(outcome.event.type === 'written');
    feed(outcome.event);
  }

  /**
   * A key that nobody holds is taken at once. One that is held may be set free before the watch begins, so that it is
   * looked at again when it has; the machine does not hear of the earlier look.
   */
  async #firstLook(request: Request): Promise<Outcome> {
    const { key, watching } = this.#ports;
    let outcome = await key.perform(request);
    if (isHeld(outcome.event)) {
      await watching();
      outcome = await key.perform(request);
    }
    // The write that it may bring about needs to know the floor.
    await this.#recorded;
    this.#seen = outcome.event.type === 'read';
    return outcome;
  }

  #ended(request: Request, { error }: Outcome): void {
    if (error === undefined) return;
    const { log, metrics } = this.#ports;
    metrics.requestFailed(failureKind(error));
    log.debug('request_failed', { request: request.type, error: error.message });
  }

  /** What a look finds while nothing is held decides whether to stand for election at once. */
  #looked(event: MachineEvent): void {
    const { log, holding } = this.#ports;
    if (event.type !== 'read' || holding()) return;
    if (event.sighting === undefined) log.debug('key_not_found_triggering_reelection');
    else if (event.sighting.content === 'empty')
      log.debug('key_empty_triggering_reelection', { revision: event.sighting.revision });
    else if (event.sighting.content === 'lease') this.#attempts = 0;
  }

  #attempted(successful: boolean): void {
    this.#attempts = successful ? 0 : this.#attempts + 1;
    if (this.#attempts === ATTEMPTS_MAX)
      this.#ports.log.warn('acquire_failed_max_retries', { attempts: this.#attempts });
  }
}

function isHeld(event: MachineEvent): boolean {
  if (event.type !== 'read') return false;
  return event.sighting?.content === 'lease' || event.sighting?.content === 'malformed';
}
