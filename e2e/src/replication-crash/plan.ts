/** What the campaign will do, decided before it begins: the same seed gives the same plan. */
import { type Random, seededRandom } from '@canopy/core';

/** Namespaces of the two groups. */
export const FOLLOWING = 'following';
export const MASTERS = 'masters';
/** Short, because rounds wait for it. */
export const TTL_MS = 1500;

/**
 * `cut`: its connection holds all bytes back, and lets them pass at the end. `wipe`: killed, and its directory is gone. `lose`: cut off while
 * it is written to, then killed with its directory and what its connection held. `away`: killed until the log has been trimmed beyond
 * all that it has. `answered`: killed with its directory as soon as a write with `followers:n` was answered.
 */
export type BlowKind = 'kill' | 'stop' | 'cut' | 'wipe' | 'lose' | 'away' | 'answered';
/** `leader` is whoever leads at the moment of the blow. */
export type Victim =
  | 'leader'
  | 'follower'
  | 'followers'
  | 'all-following'
  | 'nats-server'
  | 'master'
  | 'two-masters'
  | 'all-masters';

export interface PlannedBlow {
  readonly kind: BlowKind;
  readonly victim: Victim;
  /** Which of several, where one is hit. */
  readonly pick: number;
  readonly delayMs: number;
  /** How long it is stopped, down or cut off. */
  readonly lastsMs: number;
}

/** Both groups are struck at once. */
export interface PlannedRound {
  readonly following: PlannedBlow;
  readonly masters: PlannedBlow;
}

type Card = Pick<PlannedBlow, 'kind' | 'victim'>;

const FOLLOWING_DECK: readonly Card[] = [
  { kind: 'kill', victim: 'leader' },
  { kind: 'stop', victim: 'leader' },
  { kind: 'cut', victim: 'leader' },
  { kind: 'lose', victim: 'leader' },
  { kind: 'answered', victim: 'leader' },
  { kind: 'cut', victim: 'follower' },
  { kind: 'away', victim: 'follower' },
  { kind: 'wipe', victim: 'follower' },
  { kind: 'kill', victim: 'followers' },
  { kind: 'kill', victim: 'all-following' },
  { kind: 'wipe', victim: 'all-following' },
  { kind: 'kill', victim: 'nats-server' },
];

const MASTERS_DECK: readonly Card[] = [
  { kind: 'kill', victim: 'master' },
  { kind: 'stop', victim: 'master' },
  { kind: 'cut', victim: 'master' },
  { kind: 'lose', victim: 'master' },
  { kind: 'away', victim: 'master' },
  { kind: 'wipe', victim: 'master' },
  { kind: 'kill', victim: 'two-masters' },
  { kind: 'cut', victim: 'two-masters' },
  { kind: 'lose', victim: 'two-masters' },
  { kind: 'wipe', victim: 'two-masters' },
  { kind: 'kill', victim: 'all-masters' },
  { kind: 'wipe', victim: 'all-masters' },
];

/** So many rounds see each fault of either group once. */
export const DECK_ROUNDS = FOLLOWING_DECK.length;

const DELAY_MAX_MS = 600;
const DOWN_MAX_MS = 1200;

export function planRounds(seed: string, rounds: number): readonly PlannedRound[] {
  const random = seededRandom(`replication-${seed}`);
  const following = shuffledDecks(FOLLOWING_DECK, rounds, random);
  const masters = shuffledDecks(MASTERS_DECK, rounds, random);
  return following.map((card, i) => {
    return { following: blowOf(card, random), masters: blowOf(masters[i] as Card, random) };
  });
}

/**
 * For a cluster: its clients learn of all servers, so no connection can be held on the way. Who would be cut off is stopped instead, and
 * who would lose what was under way is killed with its directory.
 */
export function withoutCuts({ following, masters }: PlannedRound): PlannedRound {
  const instead: Partial<Record<BlowKind, BlowKind>> = { cut: 'stop', lose: 'wipe' };
  const without = (blow: PlannedBlow): PlannedBlow => ({ ...blow, kind: instead[blow.kind] ?? blow.kind });
  return { following: without(following), masters: without(masters) };
}

function shuffledDecks(whole: readonly Card[], count: number, random: Random): readonly Card[] {
  const cards: Card[] = [];
  while (cards.length < count) {
    const deck = [...whole];
    while (deck.length > 0) cards.push(...deck.splice(random.int(deck.length), 1));
  }
  return cards.slice(0, count);
}

function blowOf(card: Card, random: Random): PlannedBlow {
  const isHeld = card.kind === 'stop' || card.kind === 'cut';
  // From just too short for a new leader to well beyond; what is to be lost must be taken by one that still leads.
  const part = isHeld ? 0.5 + 2 * random.next() : 0.3 + 0.3 * random.next();
  const lasts = isHeld || card.kind === 'lose' ? TTL_MS * part : DOWN_MAX_MS * random.next();
  const delayMs = Math.round(random.next() * DELAY_MAX_MS);
  return { ...card, pick: random.int(3), delayMs, lastsMs: Math.round(lasts) };
}
