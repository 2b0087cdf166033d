/**
 * Asks everybody, and waits for the answers within bounds: until all who are known have answered and nobody else has for a while, or until
 * the timeout. Invariant: a known node that did not answer is named, never left out.
 */
import type { Env } from '@canopy/core';
import type { Bus } from '@canopy/nats';
import { type Answer, decodeAnswer, encodeMessage, type Question } from './messages.ts';
import { answersSubject, everybodySubject } from './subjects.ts';

/** Of silence, after which no more answers of unknown nodes are awaited; and so many times as long as the answers took. */
const QUIET_MS = 250;
const QUIET_TIMES = 4;
/** More answers than this are not taken on. */
const ANSWERS_MAX = 10_000;

export interface Gathered {
  readonly answers: readonly Answer[];
  /** Known, and did not answer. */
  readonly silent: readonly string[];
}

export interface GatherOptions {
  readonly bus: Bus;
  readonly namespace: string;
  readonly question: Question;
  readonly expected: readonly string[];
  /** Not awaited, whoever knows of it. */
  readonly unawaited?: string | undefined;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export async function gather(options: GatherOptions, { clock }: Pick<Env, 'clock'>): Promise<Gathered> {
  const { bus, namespace, question, timeoutMs, signal } = options;
  const ended = new AbortController();
  const until = signal === undefined ? ended.signal : AbortSignal.any([ended.signal, signal]);
  const messages = bus.subscribe(answersSubject(namespace, question.id), { signal: until });
  const roll = new RollCall(options.expected, options.unawaited);
  await bus.flush();
  const askedAt = clock.monotonic();
  bus.publish(everybodySubject(namespace), encodeMessage(question));
  const limit = clock.timer(timeoutMs, () => ended.abort());
  let quiet: { cancel(): void } | undefined;
  try {
    for await (const { data } of messages) {
      const answer = decodeAnswer(data, question.id);
      if (answer === undefined || !roll.add(answer)) continue;
      quiet?.cancel();
      if (roll.missing().length > 0) continue;
      const quietMs = Math.max(QUIET_MS, QUIET_TIMES * (clock.monotonic() - askedAt));
      quiet = clock.timer(quietMs, () => ended.abort());
    }
  } finally {
    limit.cancel();
    quiet?.cancel();
    ended.abort();
  }
  signal?.throwIfAborted();
  return { answers: roll.answers(), silent: roll.missing() };
}

/** Who has answered, and who is known and has not. */
export class RollCall {
  readonly #known: Set<string>;
  readonly #unawaited: string | undefined;
  readonly #answers = new Map<string, Answer>();

  constructor(expected: readonly string[], unawaited?: string) {
    this.#known = new Set(expected);
    this.#unawaited = unawaited;
  }

  /** False when it is known already. */
  add(answer: Answer): boolean {
    if (this.#answers.has(answer.instance) || this.#answers.size >= ANSWERS_MAX) return false;
    this.#answers.set(answer.instance, answer);
    for (const node of answer.knows) this.#known.add(node);
    return true;
  }

  /** By node. */
  answers(): Answer[] {
    return [...this.#answers.values()].sort((a, b) => compare(a.node, b.node) || compare(a.instance, b.instance));
  }

  missing(): string[] {
    const present = new Set([...this.#answers.values()].map(({ node }) => node));
    return [...this.#known].filter((node) => !present.has(node) && node !== this.#unawaited).sort(compare);
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
