/**
 * What a campaign will do, all of it decided before it begins: the same seed gives the same plan. Faults are drawn from a
 * shuffled deck without putting them back, so every dozen rounds see each of them once.
 */
import { type Random, seededRandom } from '@canopy/core';

export type CrashKind =
  | 'nodeKill'
  | 'treeKill'
  | 'databaseKill'
  | 'wardenKill'
  | 'backendKill'
  | 'natsKill'
  | 'nodeFreeze'
  | 'treeFreeze';

export type Victim = 'active' | 'standby';

export interface PlannedRound {
  readonly kind: CrashKind;
  readonly victim: Victim;
  /** Which of the standbys, 0 or 1. */
  readonly standby: number;
  /** From the cluster being whole to the blow. */
  readonly delayMs: number;
  /** Freezes: how long, half to one and a half times the lease. nats-server: how long it is down. Else 0. */
  readonly lastsMs: number;
}

/** Every fault with each of its victims. The nats-server is nobody's own. */
export const DECK: readonly Pick<PlannedRound, 'kind' | 'victim'>[] = [
  { kind: 'nodeKill', victim: 'active' },
  { kind: 'treeKill', victim: 'active' },
  { kind: 'treeKill', victim: 'standby' },
  { kind: 'databaseKill', victim: 'active' },
  { kind: 'databaseKill', victim: 'standby' },
  { kind: 'wardenKill', victim: 'active' },
  { kind: 'wardenKill', victim: 'standby' },
  { kind: 'backendKill', victim: 'active' },
  { kind: 'natsKill', victim: 'active' },
  { kind: 'nodeFreeze', victim: 'active' },
  { kind: 'treeFreeze', victim: 'active' },
  { kind: 'treeFreeze', victim: 'standby' },
];

const DELAY_MIN_MS = 100;
const DELAY_MAX_MS = 1500;
const NATS_DOWN_MAX_MS = 2000;

export function planRounds(seed: string, count: number, ttlMs: number): readonly PlannedRound[] {
  const random = seededRandom(seed);
  const rounds: PlannedRound[] = [];
  while (rounds.length < count) {
    for (const card of shuffled(random, DECK)) rounds.push(planRound(random, card, ttlMs));
  }
  return rounds.slice(0, count);
}

function planRound(random: Random, card: Pick<PlannedRound, 'kind' | 'victim'>, ttlMs: number): PlannedRound {
  const delayMs = Math.round(DELAY_MIN_MS + random.next() * (DELAY_MAX_MS - DELAY_MIN_MS));
  return { ...card, standby: random.int(2), delayMs, lastsMs: Math.round(lasts(card.kind, random.next(), ttlMs)) };
}

function lasts(kind: CrashKind, chance: number, ttlMs: number): number {
  if (kind === 'natsKill') return chance * NATS_DOWN_MAX_MS;
  return kind === 'nodeFreeze' || kind === 'treeFreeze' ? ttlMs * (0.5 + chance) : 0;
}

function shuffled<T>(random: Random, items: readonly T[]): T[] {
  const deck = [...items];
  for (let i = deck.length - 1; i > 0; i--) {
    const j = random.int(i + 1);
    [deck[i], deck[j]] = [deck[j] as T, deck[i] as T];
  }
  return deck;
}
