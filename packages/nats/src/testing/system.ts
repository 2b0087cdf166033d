/** What a contract suite runs against: sessions on one NATS system, real or in memory. */
import { systemClock } from '@canopy/core';
import { afterAll, beforeAll } from 'vitest';
import type { NatsSession } from '../session/port.ts';

export interface ContractSystem {
  /** A further session on the same system; the suite closes it. */
  open(): Promise<NatsSession>;
  /** Ends the system, after every session is closed. */
  close(): Promise<void>;
}

export interface ContractSessions {
  /** Two sessions, as two nodes would have. */
  readonly a: NatsSession;
  readonly b: NatsSession;
  /** A bucket name that no other test uses. */
  bucket(): string;
}

/** Opens the system before the suite's tests and closes it after them. */
export function useSystem(makeSystem: () => Promise<ContractSystem>): () => ContractSessions {
  let system: ContractSystem | undefined;
  let sessions: ContractSessions | undefined;
  let buckets = 0;
  beforeAll(async () => {
    system = await makeSystem();
    const bucket = (): string => `contract-${++buckets}`;
    sessions = { a: await system.open(), b: await system.open(), bucket };
  });
  afterAll(async () => {
    await sessions?.a.close();
    await sessions?.b.close();
    await system?.close();
  });
  return () => sessions as ContractSessions;
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function text(data: Uint8Array | undefined): string | undefined {
  return data === undefined ? undefined : new TextDecoder().decode(data);
}

/** The code of the error that `work` fails with, or undefined. */
export async function codeOf(work: Promise<unknown>): Promise<string | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

/** Reads a watch into an array that tests look at. */
export class Recorder<E> {
  readonly events: E[] = [];
  readonly done: Promise<void>;
  readonly #controller = new AbortController();

  constructor(open: (signal: AbortSignal) => AsyncIterable<E>) {
    this.done = this.#read(open(this.#controller.signal));
  }

  async #read(events: AsyncIterable<E>): Promise<void> {
    for await (const event of events) this.events.push(event);
  }

  /** Waits until some event meets the condition, at most 10 s. */
  async until(condition: (event: E, index: number) => boolean): Promise<E> {
    const giveUpAt = systemClock.monotonic() + 10_000;
    for (;;) {
      const found = this.events.find(condition);
      if (found !== undefined) return found;
      if (systemClock.monotonic() > giveUpAt)
        throw new Error(`not seen: ${condition}; got ${JSON.stringify(this.events)}`);
      await systemClock.sleep(5);
    }
  }

  async stop(): Promise<void> {
    this.#controller.abort();
    await this.done;
  }
}
