/**
 * One seeded schedule of everything that may go wrong between candidates and a bucket, and the three promises checked
 * throughout: never two leaders at one true instant, epochs that only grow, and a leader soon after the faults stop.
 * Everything follows from the seed; a failure is repeated by running the seed again.
 */
import { pick, type Random, seededRandom } from '@canopy/core';
import type { ElectionReason } from '../api.ts';
import type { Sighting } from '../lease/sighting.ts';
import type { Request } from '../lease-key.ts';
import { Schedule } from './schedule.ts';
import { type NodeWorld, SimulatedNode, simulatedRules } from './simulated-node.ts';
import { SimulatedStore } from './simulated-store.ts';

/** Mistakes that the simulation must be able to find. */
export type PlantedFault = 'none' | 'no_margin' | 'wall_clock' | 'blind_delete';

export interface SimulationOptions {
  readonly seed: number | string;
  readonly plant?: PlantedFault;
  /** Length of the time with faults, in ttls. Default 40. */
  readonly turmoil?: number;
  /** Hears every step of every node, for finding out how a violation came about. */
  readonly trace?: (line: string) => void;
}

export interface SimulationReport {
  readonly seed: number | string;
  /** What was promised and not kept; empty on success. */
  readonly violations: readonly string[];
  readonly promotions: number;
  readonly losses: Readonly<Partial<Record<ElectionReason, number>>>;
  readonly conflicts: number;
  readonly faults: number;
  /** From the end of the faults to a leader, ms; undefined when none came. */
  readonly recoveredMs: number | undefined;
}

const TTL = 1000;
const REQUEST_TIMEOUT = TTL / 6;
const LATE_MAX = 2 * TTL;
/** A hook, a hold-off, a lease to wait out on a slow clock, and requests that fail first. */
const RECOVERY_MAX = 4 * TTL;

/** Runs one schedule to its end. */
export function simulate(options: SimulationOptions): SimulationReport {
  return new Simulation(options).run();
}

class Simulation implements NodeWorld {
  readonly schedule = new Schedule();
  readonly random: Random;
  readonly hookMs: number;
  readonly #options: SimulationOptions;
  readonly #plant: PlantedFault;
  readonly #nodes: SimulatedNode[];
  readonly #store: SimulatedStore;
  readonly #violations: string[] = [];
  readonly #losses: Partial<Record<ElectionReason, number>> = {};
  /** How bad the network is in this seed, 0..1; 0 after the turmoil. */
  #roughness: number;
  /** The chance that a request is carried twice. */
  #repeats: number;
  /** From here on nothing may be lost. */
  #calmFrom = Number.POSITIVE_INFINITY;
  #promotions = 0;
  #faults = 0;
  #lastEpoch = 0;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.#plant = options.plant ?? 'none';
    this.random = seededRandom(`election ${options.seed}`);
    const { random } = this;
    this.#roughness = random.next() ** 2 * 0.3;
    this.#repeats = random.next() * 0.4;
    this.hookMs = pick(random, [5, TTL / 4, TTL]);
    const store = { blindDelete: this.#plant === 'blind_delete' };
    const maxAge = pick(random, [0, TTL, 3 * TTL]);
    this.#store = new SimulatedStore(maxAge, this.#clockRate(), store, (sighting) => this.#announce(sighting));
    const takeover = random.int(4) === 0;
    this.#nodes = Array.from({ length: 2 + random.int(4) }, (_, i) => {
      const rules = simulatedRules(`${options.seed} node ${i}`, {
        instanceId: `n${i}`,
        ttlMs: TTL,
        graceMs: pick(random, [TTL / 3, 10 * TTL]),
        priority: takeover ? i : 0,
        allowPriorityTakeover: takeover && i > 0,
        ...(this.#plant === 'no_margin' ? { marginMs: 0 } : {}),
      });
      return new SimulatedNode(this, rules, this.#clockRate(), random.next() * 1e6);
    });
  }

  run(): SimulationReport {
    const { schedule, random } = this;
    const turmoil = (this.#options.turmoil ?? 40) * TTL;
    for (const node of this.#nodes) schedule.at(random.next() * TTL, () => node.feed({ type: 'start' }));
    for (let at = TTL; at < turmoil; at += random.next() * TTL) schedule.at(at, () => this.#disturb());
    schedule.runUntil(turmoil);
    this.#becalm();
    // What is still under way may arrive late; the bound counts from the last of it.
    schedule.runUntil(turmoil + LATE_MAX);
    const recoveredMs = this.#recover();
    if (recoveredMs !== undefined) this.#watchStability();
    return {
      seed: this.#options.seed,
      violations: this.#violations,
      promotions: this.#promotions,
      losses: this.#losses,
      conflicts: this.#store.conflicts,
      faults: this.#faults,
      recoveredMs,
    };
  }

  trace(line: string): void {
    this.#options.trace?.(`${this.schedule.now.toFixed(1)} ${line}`);
  }

  check(): void {
    const leaders = this.#nodes.filter((node) => node.leads());
    if (leaders.length > 1) this.violate(`two leaders: ${leaders.map((node) => node.id).join(' and ')}`);
  }

  promoted(node: SimulatedNode, epoch: number): void {
    this.#promotions += 1;
    if (epoch <= this.#lastEpoch) this.violate(`epoch ${epoch} of ${node.id} after ${this.#lastEpoch}`);
    this.#lastEpoch = Math.max(this.#lastEpoch, epoch);
  }

  lost(node: SimulatedNode, reason: ElectionReason): void {
    this.#losses[reason] = (this.#losses[reason] ?? 0) + 1;
    if (this.schedule.now > this.#calmFrom) this.violate(`${node.id} lost its lease in calm: ${reason}`);
  }

  /** The network: each way may lose, delay and repeat. The sender gives up after its own bound. */
  send(node: SimulatedNode, request: Request): void {
    const { op } = request;
    node.later(REQUEST_TIMEOUT, { type: 'failed', op });
    const copies = this.random.next() < this.#repeats ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      // A repeated message is as often long forgotten as not.
      const delayMs = i > 0 && this.random.int(2) === 0 ? this.random.next() * LATE_MAX : this.#delay();
      this.#carry(node, delayMs, () => {
        const answer = this.#store.serve(request, this.schedule.now);
        if (answer === undefined) return;
        const { life } = node;
        this.#carry(node, this.#delay(), () => {
          if (node.life === life) node.feed(answer);
        });
      });
    }
  }

  #carry(node: SimulatedNode, delayMs: number, deliver: () => void): void {
    if (!node.linked || this.#chance(1)) return;
    this.schedule.after(delayMs, deliver);
  }

  #announce(sighting: Sighting): void {
    for (const node of this.#nodes) {
      if (!node.alive || !node.watching || !node.linked || this.#chance(0.3)) continue;
      for (let i = this.#chance(0.3) ? 2 : 1; i > 0; i--) node.later(this.#delay(), { type: 'sighted', sighting });
    }
  }

  #disturb(): void {
    this.#faults += 1;
    const { random, schedule } = this;
    const node = pick(random, this.#nodes);
    // Most trouble matters only when it hits the leader.
    const target = random.int(2) === 0 ? (this.#nodes.find((each) => each.leads()) ?? node) : node;
    const lengthMs = random.next() * 3 * TTL;
    const { life } = target;
    const ifSame = (run: () => void) => () => {
      if (target.life === life) run();
    };
    switch (random.int(this.#plant === 'wall_clock' ? 8 : 7)) {
      case 0:
        target.freeze();
        return void schedule.after(lengthMs, () => target.thaw());
      case 1:
        target.kill();
        return void schedule.after(lengthMs / 2, () => target.restart());
      case 2:
        this.#unlink(target, lengthMs, ifSame);
        return;
      case 3:
        this.#store.up = false;
        return void schedule.after(lengthMs / 3, () => {
          this.#store.up = true;
        });
      case 4:
        this.#blind(target, lengthMs, ifSame);
        return;
      case 5:
        this.#leave(target, 'step_down', undefined);
        return;
      case 6:
        this.#leave(target, 'handoff', pick(random, this.#nodes).id);
        return;
      default:
        target.stepClock((random.next() - 0.5) * 6 * TTL);
        return;
    }
  }

  #unlink(node: SimulatedNode, lengthMs: number, ifSame: (run: () => void) => () => void): void {
    node.linked = false;
    const noticed = ifSame(() => {
      if (!node.linked) node.feed({ type: 'disconnected' });
    });
    this.schedule.after(this.random.next() * TTL, noticed);
    const mend = ifSame(() => {
      node.linked = true;
      node.feed({ type: 'disconnected' });
      node.feed({ type: 'connected' });
      this.#relist(node);
    });
    this.schedule.after(lengthMs, mend);
  }

  #blind(node: SimulatedNode, lengthMs: number, ifSame: (run: () => void) => () => void): void {
    node.watching = false;
    // Sometimes nobody notices.
    if (this.random.int(3) > 0) node.later(this.random.next() * TTL, { type: 'interrupted' });
    this.schedule.after(
      lengthMs,
      ifSame(() => {
        node.watching = true;
        this.#relist(node);
      }),
    );
  }

  #relist(node: SimulatedNode): void {
    const sighting = this.#store.look(this.schedule.now);
    if (sighting !== undefined) node.later(this.#delay(), { type: 'sighted', sighting });
    node.later(LATE_MAX, { type: 'synced' });
  }

  #leave(node: SimulatedNode, reason: ElectionReason, next: string | undefined): void {
    if (!node.leads()) return;
    const holdOffMs = reason === 'handoff' ? 600 : this.random.next() * TTL;
    node.feed({ type: 'leave', reason, holdOffMs, next, keepKey: this.random.int(8) === 0, final: false });
  }

  #becalm(): void {
    this.#roughness = 0;
    this.#repeats = 0;
    this.#store.up = true;
    for (const node of this.#nodes) {
      node.restart();
      node.thaw();
      node.watching = true;
      node.linked = true;
      node.feed({ type: 'connected' });
      this.#relist(node);
    }
  }

  /** Waits for a leader; ms since the calm, or undefined (and a violation) when the bound passes. */
  #recover(): number | undefined {
    const from = this.schedule.now;
    for (let waited = 0; waited <= RECOVERY_MAX; waited += 10) {
      if (this.#nodes.some((node) => node.leads())) return waited;
      this.schedule.runUntil(from + waited + 10);
    }
    const facts = this.#nodes.map((node) => `${node.id} ${node.state.phase} ${node.state.view}`).join(', ');
    this.violate(`no leader ${RECOVERY_MAX} ms after the faults (${facts})`);
    return undefined;
  }

  /** Without faults a leader stays. Preferred nodes may still take their turn first. */
  #watchStability(): void {
    this.schedule.runUntil(this.schedule.now + 8 * TTL);
    this.#calmFrom = this.schedule.now;
    this.schedule.runUntil(this.schedule.now + 10 * TTL);
  }

  violate(what: string): void {
    this.#violations.push(`${Math.round(this.schedule.now)} ms: ${what}`);
  }

  #clockRate(): number {
    return 0.95 + this.random.next() * 0.1;
  }

  #chance(weight: number): boolean {
    return this.#roughness > 0 && this.random.next() < this.#roughness * weight;
  }

  #delay(): number {
    if (this.#chance(0.2)) return this.random.next() * LATE_MAX;
    return 0.2 + this.random.next() * 5;
  }
}
