/**
 * The faults of a simulation, one at a time: what may happen to a candidate, to its ways to the store and to the others,
 * and to the store. All of them end by themselves.
 */
import { pick, type Random } from '@canopy/core';
import type { ElectionReason } from '../api.ts';
import { mayRepeat } from '../lease/revisions.ts';
import type { Schedule } from './schedule.ts';
import type { SimulatedNode } from './simulated-node.ts';
import type { SimulatedStore } from './simulated-store.ts';
import type { Tally } from './tally.ts';

export interface TurmoilWorld {
  readonly ttlMs: number;
  /** What failsafe may add. */
  readonly limitMs: number;
  readonly lateMs: number;
  readonly nodes: readonly SimulatedNode[];
  readonly store: SimulatedStore;
  readonly schedule: Schedule;
  readonly random: Random;
  readonly failsafe: boolean;
  /** The bucket is made anew now and then. */
  readonly recreates: boolean;
  /** Clocks step: a mistake. */
  readonly steps: boolean;
  /** Elections make every bucket begin at the same revision: a mistake. */
  readonly sameRevisions: boolean;
  readonly tally: Tally;
  delay(): number;
  lastEpoch(): number;
}

export class Turmoil {
  readonly #world: TurmoilWorld;
  faults = 0;

  constructor(world: TurmoilWorld) {
    this.#world = world;
  }

  disturb(): void {
    this.faults += 1;
    const { random, schedule, ttlMs } = this.#world;
    const node = pick(random, this.#world.nodes);
    // Most trouble matters only when it hits the leader.
    const target = random.int(2) === 0 ? (this.#world.nodes.find((each) => each.leads()) ?? node) : node;
    const lengthMs = random.next() * 3 * ttlMs;
    const { life } = target;
    const ifSame = (run: () => void) => () => {
      if (target.life === life) run();
    };
    switch (random.int(this.#world.steps ? 12 : 11)) {
      case 0:
        this.#count('pause');
        target.freeze();
        return void schedule.after(lengthMs, () => target.thaw());
      case 1:
        this.#crash(target);
        return void schedule.after(lengthMs / 2, () => this.#restart(target));
      case 2:
        this.#unlink(target, lengthMs, ifSame);
        return;
      case 3:
        this.#count('outage');
        return void schedule.after(lengthMs / 3, this.#world.store.fail());
      case 4:
        this.#blind(target, lengthMs, ifSame);
        return;
      case 5:
        this.#leave(target, 'step_down', undefined);
        return;
      case 6:
        this.#leave(target, 'handoff', pick(random, this.#world.nodes).id);
        return;
      case 7:
        // A server's fail-over: several leases long.
        if (this.#world.failsafe && random.int(4) > 0) this.#besiege(target);
        else {
          this.#count('fail_over');
          schedule.after(2 * lengthMs, this.#world.store.fail());
        }
        return;
      case 8:
        if (random.int(2) === 0) this.#cut(target, 'storeLinked', 2 * lengthMs);
        else this.#cut(pick(random, this.#world.nodes), 'busLinked', 2 * lengthMs);
        return;
      case 9:
        if (this.#world.recreates && random.int(2) === 0) this.#recreate();
        else this.#cut(target, 'storeLinked', 2 * lengthMs);
        return;
      case 10:
        this.#disturbClock(target, lengthMs);
        return;
      default:
        target.stepClock((random.next() - 0.5) * 6 * ttlMs);
        return;
    }
  }

  #count(kind: Parameters<Tally['count']>[0]): void {
    this.#world.tally.count(kind);
  }

  #crash(node: SimulatedNode): void {
    if (node.alive) this.#count('crash');
    node.kill();
  }

  #restart(node: SimulatedNode): void {
    if (!node.alive) this.#count('restart');
    node.restart();
  }

  /** The wall clock is put right, or the whole machine sleeps: the program can't tell one from the other. */
  #disturbClock(node: SimulatedNode, lengthMs: number): void {
    if (this.#world.random.int(3) === 0) {
      this.#count('clock_step');
      node.feed({ type: 'suspended' });
      return;
    }
    this.#count('suspension');
    node.sleep();
    this.#world.schedule.after(lengthMs, () => node.wake());
  }

  #unlink(node: SimulatedNode, lengthMs: number, ifSame: (run: () => void) => () => void): void {
    const { ttlMs } = this.#world;
    this.#count('partition');
    node.linked = false;
    const noticed = ifSame(() => {
      if (!node.linked) node.feed({ type: 'disconnected' });
    });
    this.#world.schedule.after(this.#world.random.next() * ttlMs, noticed);
    const mend = ifSame(() => {
      node.linked = true;
      node.feed({ type: 'disconnected' });
      node.feed({ type: 'connected' });
      this.relist(node);
    });
    this.#world.schedule.after(lengthMs, mend);
  }

  #cut(node: SimulatedNode, way: 'storeLinked' | 'busLinked', lengthMs: number): void {
    this.#count(way === 'storeLinked' ? 'store_partition' : 'bus_partition');
    node[way] = false;
    const { life } = node;
    this.#world.schedule.after(lengthMs, () => {
      if (node.life === life) node[way] = true;
    });
  }

  /**
   * What failsafe must survive: a holder that can't reach a bucket that others reach well, while its messages, or those
   * of one candidate, get slow and then stop, or a candidate comes anew.
   */
  #besiege(holder: SimulatedNode): void {
    const { random, schedule, ttlMs } = this.#world;
    const lengthMs = (2 + random.next() * 3) * ttlMs;
    this.#cut(holder, 'storeLinked', lengthMs);
    const others = this.#world.nodes.filter((node) => node !== holder);
    const victim = random.int(4) === 0 ? holder : pick(random, others);
    const { life } = victim;
    const ifSame = (run: () => void) => () => {
      if (victim.life === life) run();
    };
    if (random.int(2) === 0) {
      this.#count('slow_bus');
      victim.busDelayMs = (0.3 + random.next()) * ttlMs;
    }
    const stopAt = schedule.now + random.next() * 3 * ttlMs;
    schedule.at(
      stopAt,
      ifSame(() => {
        if (random.int(4) > 0 || victim === holder) this.#cut(victim, 'busLinked', lengthMs);
        else {
          this.#crash(victim);
          this.#restart(victim);
        }
      }),
    );
    schedule.after(
      lengthMs,
      ifSame(() => {
        victim.busDelayMs = 0;
      }),
    );
  }

  /**
   * The bucket is lost and made anew. Nobody could know of a lease that was in it, so whoever does that waits for what
   * a lease can last. Nobody is told, and what was sent to the old one may reach the new one.
   */
  #recreate(): void {
    const { ttlMs, random, store, schedule } = this.#world;
    const mend = store.fail();
    // Whoever sleeps through it has only what it remembers.
    const sleeper = pick(random, this.#world.nodes);
    if (random.int(2) === 0) {
      this.#count('pause');
      sleeper.freeze();
      schedule.after((1 + 2 * random.next()) * ttlMs, () => sleeper.thaw());
    }
    schedule.after(this.#world.failsafe ? this.#world.limitMs : ttlMs, () => {
      // Healed before its time: the bucket was not lost after all.
      if (store.up) return;
      mend();
      this.#count('bucket_anew');
      if (this.#world.sameRevisions) store.recreateFrom(Math.max(store.firstOfAll, store.revision - random.int(8)));
      else if (random.int(2) === 0) store.recreate(schedule.now);
      else this.#recreateByOthers();
      for (const node of this.#world.nodes) this.#bereave(node);
    });
  }

  /** From 1 on; or from a little before the revisions that candidates remember, where mistaking one for another is likely. */
  #recreateByOthers(): void {
    const { random, store, nodes } = this.#world;
    const first = mayRepeat(store.revision) && random.int(2) === 0 ? store.revision - random.int(8) : 1;
    if (mayRepeat(store.revision)) this.#count('bucket_repeated');
    store.recreateFrom(Math.max(1, first));
    // A record outside of the bucket is what tells of epochs then.
    for (const node of nodes) node.feed({ type: 'floor', epoch: this.#world.lastEpoch() });
  }

  /** The node's watch belonged to the old bucket. It is noticed at once, or later, or never was interrupted. */
  #bereave(node: SimulatedNode): void {
    const { random, ttlMs } = this.#world;
    switch (random.int(3)) {
      case 0: {
        const { revision } = node.state.observed;
        node.feed({ type: 'interrupted' });
        if (revision >= 0 && random.int(2) === 0)
          node.feed({ type: 'sighted', sighting: { revision, content: 'deleted', lease: undefined } });
        node.later(this.#world.delay(), { type: 'synced' });
        return;
      }
      case 1:
        this.#blindFor(node, random.next() * 2 * ttlMs);
        return;
      default:
        return;
    }
  }

  #blindFor(node: SimulatedNode, lengthMs: number): void {
    const { life } = node;
    this.#blind(node, lengthMs, (run) => () => {
      if (node.life === life) run();
    });
  }

  #blind(node: SimulatedNode, lengthMs: number, ifSame: (run: () => void) => () => void): void {
    const { ttlMs } = this.#world;
    node.watching = false;
    const silent = this.#world.random.int(3) === 0;
    this.#count(silent ? 'silent_watch_gap' : 'watch_gap');
    if (!silent) node.later(this.#world.random.next() * ttlMs, { type: 'interrupted' });
    this.#world.schedule.after(
      lengthMs,
      ifSame(() => {
        node.watching = true;
        this.relist(node);
      }),
    );
  }

  relist(node: SimulatedNode): void {
    const sighting = this.#world.store.look(this.#world.schedule.now);
    if (sighting !== undefined) node.later(this.#world.delay(), { type: 'sighted', sighting });
    node.later(this.#world.lateMs, { type: 'synced' });
  }

  #leave(node: SimulatedNode, reason: ElectionReason, next: string | undefined): void {
    const { ttlMs } = this.#world;
    if (!node.leads()) return;
    this.#count(reason === 'handoff' ? 'handoff' : 'step_down');
    // A repeated release may come when somebody else holds the lease, and whoever that is may not hear of it.
    for (const other of this.#world.nodes)
      if (this.#world.random.int(3) === 0) this.#blindFor(other, (1 + this.#world.random.next()) * ttlMs);
    const holdOffMs = reason === 'handoff' ? 600 : this.#world.random.next() * ttlMs;
    node.feed({ type: 'leave', reason, holdOffMs, next, keepKey: this.#world.random.int(8) === 0, final: false });
  }
}
