/** What the campaign will do, decided by the seed: faults drawn from a shuffled deck, without putting them back. */
import { type Random, seededRandom } from '@canopy/core';
import { LOSSES, type Loss } from './disk.ts';

/** Every fault. Those with `disk` need the shim. */
export const FAULTS = {
  primaryKill: {},
  writerKill: {},
  standbyKill: {},
  readerKill: {},
  natsKill: {},
  everythingKill: {},
  primaryFreeze: {},
  handOver: {},
  standbyFull: { disk: true },
  standbyBroken: { disk: true },
  primaryFull: { disk: true },
  primaryBroken: { disk: true },
  standbyPower: { disk: true },
  promotionPower: { disk: true },
  primaryPower: { disk: true },
} as const;

export type FaultKind = keyof typeof FAULTS;

export interface PlannedFault {
  readonly kind: FaultKind;
  /** Which of the standbys is hit or takes over, 0 or 1. */
  readonly standby: number;
  /** Which of the nodes is primary afterwards, where that is open, 0 to 2. */
  readonly next: number;
  /** Marks that are written before. */
  readonly marks: number;
  readonly delayMs: number;
  /** How long a server is down, a process stopped, a disk full. */
  readonly lastsMs: number;
  readonly loss: Loss;
}

export function planFaults(seed: string, rounds: number, withDisk: boolean, only?: FaultKind): readonly PlannedFault[] {
  const random = seededRandom(`${seed}/plan`);
  const all = Object.entries(FAULTS) as [FaultKind, { disk?: boolean }][];
  const deck = all.filter(([kind, { disk }]) => (withDisk || disk !== true) && (only === undefined || kind === only));
  const planned: PlannedFault[] = [];
  while (planned.length < rounds) for (const [kind] of shuffled(random, deck)) planned.push(planOne(kind, random));
  return planned.slice(0, rounds);
}

function planOne(kind: FaultKind, random: Random): PlannedFault {
  return {
    kind,
    standby: random.int(2),
    next: random.int(3),
    marks: 5 + random.int(50),
    delayMs: Math.round(random.next() * 200),
    lastsMs: 100 + Math.round(random.next() * 900),
    loss: LOSSES[random.int(LOSSES.length)] as Loss,
  };
}

function shuffled<T>(random: Random, items: readonly T[]): T[] {
  const deck = [...items];
  for (let i = deck.length - 1; i > 0; i--) {
    const j = random.int(i + 1);
    [deck[i], deck[j]] = [deck[j] as T, deck[i] as T];
  }
  return deck;
}
