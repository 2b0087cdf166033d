/**
 * One seeded schedule of everything that may go wrong between candidates and a bucket, and the three promises checked
 * throughout: never two leaders at one true instant, epochs that only grow, and a leader soon after the faults stop.
 * Everything follows from the seed; a failure is repeated by running the seed again.
 */
import { pick, type Random, seededRandom } from '@canopy/core';
import type { ElectionReason } from '../api.ts';
import type { FailsafeMessage } from '../failsafe/message.ts';
import { mayRepeat } from '../lease/revisions.ts';
import type { Sighting } from '../lease/sighting.ts';
import type { Request } from '../lease-key.ts';
import type { PlantedFault } from './planted.ts';
import { Schedule } from './schedule.ts';
import { type NodeWorld, SimulatedNode, simulatedRules } from './simulated-node.ts';
import { SimulatedStore } from './simulated-store.ts';
import { type FaultCounts, type FaultKind, Tally } from './tally.ts';
import { Turmoil } from './turmoil.ts';

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
  /** What happened, by kind. */
  readonly kinds: FaultCounts;
  /** Whether this schedule has failsafe, how often promises moved a deadline, and how many times a renewal came after. */
  readonly failsafe: boolean;
  readonly extensions: number;
  readonly bridged: number;
  /** How often the bucket was made anew. */
  readonly recreated: number;
  /** Terms whose epoch had to come from a floor. */
  readonly floors: number;
  /** From the end of the faults to a leader, ms; undefined when none came. */
  readonly recoveredMs: number | undefined;
}

const TTL = 1000;
const REQUEST_TIMEOUT = TTL / 6;
const LATE_MAX = 2 * TTL;
/** What failsafe may add, and how long who is not listed waits. */
const LIMIT = 5 * TTL;
/** A hook, a hold-off, a lease to wait out on a slow clock, and requests that fail first. */
const RECOVERY_MAX = 4 * TTL;
/** Nobody may be listed, and everybody may have promised something first. */
const FAILSAFE_RECOVERY_MAX = RECOVERY_MAX + 1.1 * LIMIT + 1.1 * TTL;

/** Runs one schedule to its end. */
export function simulate(options: SimulationOptions): SimulationReport {
  return new Simulation(options).run();
}

class Simulation implements NodeWorld {
  readonly schedule = new Schedule();
  readonly random: Random;
  readonly hookMs: number;
  readonly #options: SimulationOptions;
  readonly plant: PlantedFault;
  readonly #failsafe: boolean;
  readonly #recreates: boolean;
  readonly #turmoil: Turmoil;
  readonly tally = new Tally();
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
  #lastEpoch = 0;
  /** The bucket's life in which it was given. */
  #lastLife = 0;
  /** It lay above the revisions. */
  #ahead = false;
  #floors = 0;
  #extensions = 0;
  #bridged = 0;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.plant = options.plant ?? 'none';
    this.random = seededRandom(`election ${options.seed}`);
    const { random } = this;
    this.#roughness = random.next() ** 2 * 0.3;
    this.#repeats = random.next() * 0.4;
    this.hookMs = pick(random, [5, TTL / 4, TTL]);
    this.#failsafe = this.plant.startsWith('failsafe') || random.int(2) === 0;
    this.#recreates = this.plant === 'same_revisions' || random.int(2) === 0;
    const store = { blindRelease: this.plant === 'blind_delete' };
    const maxAge = pick(random, this.#failsafe ? [0, LIMIT, 2 * LIMIT] : [0, TTL, 3 * TTL]);
    this.#store = new SimulatedStore(
      this.plant === 'same_revisions' || random.int(2) === 0,
      maxAge,
      this.#clockRate(),
      store,
      (sighting) => this.#announce(sighting),
    );
    const takeover = random.int(4) === 0;
    this.#nodes = Array.from({ length: 2 + random.int(4) }, (_, i) => {
      const rules = simulatedRules(`${options.seed} node ${i}`, {
        instanceId: `n${i}`,
        ttlMs: TTL,
        graceMs: pick(random, [TTL / 3, 10 * TTL]),
        priority: takeover ? i : 0,
        allowPriorityTakeover: takeover && i > 0,
        failsafe: this.#failsafe ? { run: random.uuid(), limitMs: LIMIT } : undefined,
        ...(this.plant === 'no_margin' ? { marginMs: 0 } : {}),
      });
      return new SimulatedNode(this, rules, this.#clockRate(), random.next() * 1e6);
    });
    this.#turmoil = new Turmoil({
      ttlMs: TTL,
      limitMs: LIMIT,
      lateMs: LATE_MAX,
      nodes: this.#nodes,
      store: this.#store,
      schedule: this.schedule,
      random,
      failsafe: this.#failsafe,
      recreates: this.#recreates,
      steps: this.plant === 'wall_clock',
      sameRevisions: this.plant === 'same_revisions',
      tally: this.tally,
      delay: () => this.#delay(),
      lastEpoch: () => this.#lastEpoch,
    });
  }

  run(): SimulationReport {
    const { schedule, random } = this;
    const turmoil = (this.#options.turmoil ?? 40) * TTL;
    for (const node of this.#nodes) schedule.at(random.next() * TTL, () => node.feed({ type: 'start' }));
    for (let at = TTL; at < turmoil; at += random.next() * TTL) schedule.at(at, () => this.#turmoil.disturb());
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
      faults: this.#turmoil.faults,
      kinds: this.tally.counts,
      failsafe: this.#failsafe,
      extensions: this.#extensions,
      bridged: this.#bridged,
      recreated: this.#store.life,
      floors: this.#floors,
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

  promoted(node: SimulatedNode, epoch: number, knew: number): void {
    this.#promotions += 1;
    const { life, revision, first } = this.#store;
    // Revisions carry it within one life of the bucket, and from one to the next where they don't repeat. Beyond that it
    // is a matter of having been told.
    const carried = (life === this.#lastLife && !this.#ahead) || first > this.#lastEpoch;
    const told = knew >= this.#lastEpoch;
    if (!carried && told) this.#floors += 1;
    if ((carried || told) && epoch <= this.#lastEpoch)
      this.violate(`epoch ${epoch} of ${node.id} after ${this.#lastEpoch}`);
    this.#lastEpoch = epoch;
    this.#lastLife = life;
    this.#ahead = epoch > revision;
  }

  extended(): void {
    this.tally.count('failsafe');
    this.#extensions += 1;
  }

  bridged(): void {
    this.#bridged += 1;
  }

  floor(): number {
    return this.#recreates ? this.#lastEpoch : 0;
  }

  /** The bus: at most once by promise, and like any network in fact. */
  tell(node: SimulatedNode, message: FailsafeMessage): void {
    for (const to of this.#nodes) {
      if (to === node || (message.type === 'answer' && to.run !== message.to)) continue;
      for (let copies = this.#copies(); copies > 0; copies--) {
        const delayMs =
          copies > 1
            ? this.random.next() * LATE_MAX
            : this.#delay() + this.random.next() * (node.busDelayMs + to.busDelayMs);
        if (!isOnBus(node)) continue;
        if (this.#chance(1)) {
          this.tally.count('lost_bus_message');
          continue;
        }
        const { life } = to;
        this.schedule.after(delayMs, () => {
          if (to.life === life && isOnBus(to)) to.feed({ type: 'heard', message });
        });
      }
    }
  }

  lost(node: SimulatedNode, reason: ElectionReason): void {
    this.#losses[reason] = (this.#losses[reason] ?? 0) + 1;
    if (this.schedule.now > this.#calmFrom) this.violate(`${node.id} lost its lease in calm: ${reason}`);
  }

  /** The network: each way may lose, delay and repeat. The sender gives up after its own bound. */
  send(node: SimulatedNode, request: Request): void {
    const { op } = request;
    const bucket = this.#store.life;
    node.later(REQUEST_TIMEOUT, { type: 'failed', op });
    const copies = this.#copies();
    for (let i = 0; i < copies; i++) {
      // A repeated message is as often long forgotten as not.
      const delayMs = i > 0 && this.random.int(2) === 0 ? this.random.next() * LATE_MAX : this.#delay();
      this.#carry(node, delayMs, 'lost_request', () => this.#arrive(node, request, bucket, true));
    }
  }

  /** Sent to a bucket of that life; what finds no server may be held up on the way until there is one. */
  #arrive(node: SimulatedNode, request: Request, bucket: number, mayWait: boolean): void {
    const { schedule, random, tally } = this;
    const store = this.#store;
    if (!store.up && mayWait && random.int(3) === 0) {
      tally.count('held_request');
      schedule.after(random.next() * LATE_MAX, () => this.#arrive(node, request, bucket, false));
      return;
    }
    // Where revisions repeat, a release that was under way for longer than its lease is beyond what can be told apart.
    if (store.life !== bucket && releases(request) && mayRepeat(store.revision)) return;
    if (store.life !== bucket && request.type !== 'read') tally.count('write_across_buckets');
    const answer = store.serve(request, schedule.now);
    if (answer === undefined) return;
    const { life } = node;
    this.#carry(node, this.#delay(), 'lost_answer', () => {
      if (node.life === life) node.feed(answer);
    });
  }

  #carry(node: SimulatedNode, delayMs: number, loss: FaultKind, deliver: () => void): void {
    if (!node.linked || !node.storeLinked) return;
    if (this.#chance(1)) this.tally.count(loss);
    else this.schedule.after(delayMs, deliver);
  }

  #copies(): number {
    if (this.random.next() >= this.#repeats) return 1;
    this.tally.count('duplicate');
    return 2;
  }

  #announce(sighting: Sighting): void {
    for (const node of this.#nodes) {
      if (!node.alive || !node.watching || !node.linked || !node.storeLinked) continue;
      if (this.#chance(0.3)) {
        this.tally.count('lost_watch_message');
        continue;
      }
      for (let i = this.#chance(0.3) ? 2 : 1; i > 0; i--) {
        const delayMs = this.#delay();
        if (delayMs > TTL) this.tally.count('late_watch_message');
        node.later(delayMs, { type: 'sighted', sighting });
      }
    }
  }

  #becalm(): void {
    this.#roughness = 0;
    this.#repeats = 0;
    this.#store.heal();
    for (const node of this.#nodes) {
      node.restart();
      node.wake();
      node.thaw();
      node.watching = true;
      node.linked = true;
      node.storeLinked = true;
      node.busLinked = true;
      node.busDelayMs = 0;
      node.feed({ type: 'connected' });
      this.#turmoil.relist(node);
    }
  }

  /** Waits for a leader; ms since the calm, or undefined (and a violation) when the bound passes. */
  #recover(): number | undefined {
    const from = this.schedule.now;
    const boundMs = this.#failsafe ? FAILSAFE_RECOVERY_MAX : RECOVERY_MAX;
    for (let waited = 0; waited <= boundMs; waited += 10) {
      if (this.#nodes.some((node) => node.leads())) return waited;
      this.schedule.runUntil(from + waited + 10);
    }
    const facts = this.#nodes.map((node) => `${node.id} ${node.state.phase} ${node.state.view}`).join(', ');
    this.violate(`no leader ${boundMs} ms after the faults (${facts})`);
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
    const rate = 0.95 + this.random.next() * 0.1;
    if (rate >= 1.04) this.tally.count('fast_clock');
    if (rate <= 0.96) this.tally.count('slow_clock');
    return rate;
  }

  #chance(weight: number): boolean {
    return this.#roughness > 0 && this.random.next() < this.#roughness * weight;
  }

  #delay(): number {
    if (this.#chance(0.2)) {
      this.tally.count('late_message');
      return this.random.next() * LATE_MAX;
    }
    return 0.2 + this.random.next() * 5;
  }
}

function releases(request: Request): boolean {
  return request.type === 'delete' || (request.type === 'update' && request.lease.released === true);
}

function isOnBus(node: SimulatedNode): boolean {
  return node.alive && node.linked && node.busLinked;
}
