/** Subjects and who listens to them: the message routing of the twin, with queue groups. */
import { pick, type Random } from '@canopy/core';
import { subjectMatches } from '../kv/subjects.ts';

export interface Envelope {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
  readonly respond: (data: Uint8Array, headers: Readonly<Record<string, string>>) => void;
}

export interface Listener {
  readonly pattern: string;
  readonly queue: string | undefined;
  readonly reachable: () => boolean;
  readonly deliver: (envelope: Envelope) => void;
}

export class Switchboard {
  readonly #listeners = new Set<Listener>();
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  add(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Hands the message to every plain listener and to one of each queue group. Returns how many got it. */
  send(envelope: Envelope): number {
    const groups = new Map<string, Listener[]>();
    const chosen: Listener[] = [];
    for (const listener of this.#listeners) {
      if (!listener.reachable() || !subjectMatches(listener.pattern, envelope.subject)) continue;
      if (listener.queue === undefined) chosen.push(listener);
      else groups.set(listener.queue, [...(groups.get(listener.queue) ?? []), listener]);
    }
    for (const members of groups.values()) chosen.push(pick(this.#random, members));
    for (const listener of chosen) listener.deliver(envelope);
    return chosen.length;
  }
}
