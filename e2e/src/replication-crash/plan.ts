/** What the campaign will do, decided before it begins: the same seed gives the same plan. */
import { seededRandom } from '@canopy/core';

/** Namespaces of the two groups. */
export const FOLLOWING = 'following';
export const MASTERS = 'masters';
/** Short, because rounds wait for it. */
export const TTL_MS = 1500;

export type BlowKind = 'kill' | 'stop';
/** `leader` is whoever leads at the moment of the blow. */
export type Victim = 'leader' | 'follower' | 'followers' | 'all-following' | 'master' | 'two-masters' | 'all-masters';

export interface PlannedBlow {
  readonly kind: BlowKind;
  readonly victim: Victim | 'nats-server';
  /** Which of several, where one is hit. */
  readonly pick: number;
  readonly delayMs: number;
  /** How long it is stopped or down. */
  readonly lastsMs: number;
}

const DECK: readonly Pick<PlannedBlow, 'kind' | 'victim'>[] = [
  { kind: 'kill', victim: 'leader' },
  { kind: 'stop', victim: 'leader' },
  { kind: 'kill', victim: 'follower' },
  { kind: 'kill', victim: 'followers' },
  { kind: 'kill', victim: 'all-following' },
  { kind: 'kill', victim: 'master' },
  { kind: 'stop', victim: 'master' },
  { kind: 'kill', victim: 'two-masters' },
  { kind: 'kill', victim: 'all-masters' },
  { kind: 'kill', victim: 'nats-server' },
];

const DELAY_MAX_MS = 600;
const DOWN_MAX_MS = 1200;

/** Every ten rounds see each fault once. */
export function planBlows(seed: string, rounds: number): readonly PlannedBlow[] {
  const random = seededRandom(`replication-${seed}`);
  const blows: PlannedBlow[] = [];
  while (blows.length < rounds) {
    const deck = [...DECK];
    while (deck.length > 0) {
      const [card] = deck.splice(random.int(deck.length), 1) as [(typeof DECK)[number]];
      // From just too short for a new leader to well beyond.
      const lasts = card.kind === 'stop' ? TTL_MS * (0.5 + 2 * random.next()) : DOWN_MAX_MS * random.next();
      const delayMs = Math.round(random.next() * DELAY_MAX_MS);
      blows.push({ ...card, pick: random.int(3), delayMs, lastsMs: Math.round(lasts) });
    }
  }
  return blows.slice(0, rounds);
}
