/**
 * The last line of defence, on the side of the resource: writes carry their term's epoch, and the resource refuses one
 * below the highest it has seen. Invariant: what was admitted under an epoch is never followed by something of an earlier
 * one, whatever clocks, pauses and networks do.
 */
import { electionErrors } from '../errors.ts';

export interface GuardOptions {
  /** Where the resource stands: the highest epoch that it has recorded. Default 0. */
  readonly highest?: number;
}

/** Guards a resource that one process owns and others ask to write; make it from what the resource has recorded. */
export class EpochGuard {
  readonly resource: string;
  #highest: number;

  constructor(resource: string, options: GuardOptions = {}) {
    this.resource = resource;
    this.#highest = options.highest ?? 0;
  }

  /** The highest epoch seen. Record it with what is written, and make the next guard from it. */
  get highest(): number {
    return this.#highest;
  }

  /** Call before each write, in the same turn: ELECTION_EPOCH_STALE when a later term has been here. */
  admit(epoch: number): void {
    if (epoch < this.#highest) throw staleEpoch(this.resource, epoch, this.#highest);
    this.#highest = epoch;
  }
}

/** An EpochGuard for the resource; the name is for messages. */
export function guard(resource: string, options: GuardOptions = {}): EpochGuard {
  return new EpochGuard(resource, options);
}

export function staleEpoch(resource: string, epoch: number, highest: number): Error {
  return electionErrors.create('ELECTION_EPOCH_STALE', { resource, epoch, highest });
}
