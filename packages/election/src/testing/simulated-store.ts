/**
 * The bucket of a simulation: one key, revisions, conditional writes, expiry by the server's own clock (silent, as on a
 * real server), and an answer for every request that arrives while it is up.
 */
import type { LeaseValue } from '../lease/lease-value.ts';
import { firstRevision } from '../lease/revisions.ts';
import type { Sighting } from '../lease/sighting.ts';
import type { Request } from '../lease-key.ts';
import type { MachineEvent } from '../machine/state.ts';

export interface StoreFaults {
  /** Releases ignore the revision: what a careless adapter would do. */
  readonly blindRelease: boolean;
}

/** Where the revisions of a bucket begin that an election makes at this moment. */
function beginning(now: number): number {
  return firstRevision(EPOCH_OF_TIME + now);
}

/** Unix ms at the simulation's 0. */
const EPOCH_OF_TIME = 1_750_000_000_000;

export class SimulatedStore {
  /** The revision that the very first bucket began with. */
  readonly firstOfAll: number;
  #revision = 0;
  #first = 1;
  #entry: { sighting: Sighting; writtenAt: number } | undefined;
  readonly #maxAgeMs: number;
  readonly #rate: number;
  readonly #faults: StoreFaults;
  readonly #onWrite: (sighting: Sighting) => void;
  /** Outages under way. */
  readonly #outages = new Set<symbol>();
  /** Grows when the bucket is made anew. */
  life = 0;
  conflicts = 0;

  /** `own`: made by an election; else with revisions from 1 on, as other tools make it. */
  constructor(
    own: boolean,
    maxAgeMs: number,
    rate: number,
    faults: StoreFaults,
    onWrite: (sighting: Sighting) => void,
  ) {
    if (own) {
      this.#first = beginning(0);
      this.#revision = this.#first - 1;
    }
    this.firstOfAll = this.#first;
    this.#maxAgeMs = maxAgeMs;
    this.#rate = rate;
    this.#faults = faults;
    this.#onWrite = onWrite;
  }

  /** No quorum, until the returned function is called. */
  fail(): () => void {
    const outage = Symbol();
    this.#outages.add(outage);
    return () => this.#outages.delete(outage);
  }

  /** Ends every outage. */
  heal(): void {
    this.#outages.clear();
  }

  get revision(): number {
    return this.#revision;
  }

  get up(): boolean {
    return this.#outages.size === 0;
  }

  /** The revision that the bucket began with. */
  get first(): number {
    return this.#first;
  }

  /** The bucket is made anew as an election makes it: empty, and above all earlier revisions. */
  recreate(now: number): void {
    this.#begin(beginning(now));
  }

  /** The bucket is made anew by other means: empty, and with revisions that have been there before. */
  recreateFrom(first: number): void {
    this.#begin(first);
  }

  #begin(first: number): void {
    this.#first = first;
    this.#revision = first - 1;
    this.#entry = undefined;
    this.life += 1;
  }

  /** The live value, as a read from the stream leader sees it. */
  look(now: number): Sighting | undefined {
    this.#expire(now);
    const sighting = this.#entry?.sighting;
    return sighting?.content === 'deleted' ? undefined : sighting;
  }

  /** Performs a request; undefined when the server is down. */
  serve(request: Request, now: number): MachineEvent | undefined {
    if (!this.up) return undefined;
    const { op } = request;
    const live = this.look(now);
    switch (request.type) {
      case 'read':
        return { type: 'read', op, sighting: live };
      case 'create':
        return live === undefined ? this.#put(op, request.lease, now) : this.#refuse(op);
      case 'update':
        if (live?.revision !== request.revision && !(this.#faults.blindRelease && request.lease.released))
          return this.#refuse(op);
        return this.#put(op, request.lease, now);
      case 'delete':
        if (live?.revision !== request.revision && !this.#faults.blindRelease) return this.#refuse(op);
        return this.#write(op, 'deleted', undefined, now);
    }
  }

  #put(op: number, lease: LeaseValue, now: number): MachineEvent {
    return this.#write(op, lease.released ? 'released' : 'lease', lease, now);
  }

  #write(op: number, content: Sighting['content'], lease: LeaseValue | undefined, now: number): MachineEvent {
    this.#revision += 1;
    const sighting: Sighting = { revision: this.#revision, stamp: now, content, lease };
    this.#entry = { sighting, writtenAt: now };
    this.#onWrite(sighting);
    return { type: 'written', op, revision: this.#revision };
  }

  #refuse(op: number): MachineEvent {
    this.conflicts += 1;
    return { type: 'conflict', op };
  }

  #expire(now: number): void {
    const age = (now - (this.#entry?.writtenAt ?? now)) * this.#rate;
    if (this.#maxAgeMs > 0 && age >= this.#maxAgeMs) this.#entry = undefined;
  }
}
