/**
 * One candidate of a simulation: the real machine on a clock of its own, in a process that can be frozen, cut off and
 * killed. Whether it leads is what `isLeader` would answer by its own clock at that true instant, frozen or not.
 */
import { type Random, seededRandom } from '@canopy/core';
import type { ElectionReason } from '../api.ts';
import type { FailsafeMessage } from '../failsafe/message.ts';
import type { Request } from '../lease-key.ts';
import { type Effect, initialState, type MachineEvent, type MachineState, type Rules } from '../machine/state.ts';
import { step, wakeAt } from '../machine/step.ts';
import { type PlantedFault, spoilAfter, spoilBefore } from './planted.ts';
import type { Schedule } from './schedule.ts';
import type { Tally } from './tally.ts';

export interface NodeWorld {
  readonly schedule: Schedule;
  readonly random: Random;
  send(node: SimulatedNode, request: Request): void;
  tell(node: SimulatedNode, message: FailsafeMessage): void;
  /** `knew`: the highest epoch that the node knew of when it took the lease. */
  promoted(node: SimulatedNode, epoch: number, knew: number): void;
  extended(): void;
  bridged(): void;
  /** What a process that starts is told about epochs from outside. */
  floor(): number;
  readonly plant: PlantedFault;
  readonly tally: Tally;
  lost(node: SimulatedNode, reason: ElectionReason): void;
  violate(what: string): void;
  /** After every step. */
  check(): void;
  trace(line: string): void;
  /** Parts of the ttl that the hooks of a term take at most. */
  readonly hookMs: number;
}

export class SimulatedNode {
  readonly id: string;
  readonly #world: NodeWorld;
  #rules: Rules;
  readonly #rate: number;
  #offset: number;
  #state: MachineState;
  #wake: (() => void) | undefined;
  #inbox: MachineEvent[] = [];
  /** The term whose hooks run. */
  #hooks: string | undefined;
  #knewEpoch = 0;
  /** The epoch in the last value seen before the lease was taken. */
  #payloadEpoch = 0;
  /** Grows at each death, so that what was meant for the dead does not reach the living. */
  life = 0;
  alive = true;
  frozen = false;
  /** The true time at which its machine went to sleep: its clock stands still. */
  #asleepSince: number | undefined;
  /** Awake, but stopped since before: what it says about leases counts from its first event on. */
  #groggy = false;
  linked = true;
  watching = true;
  /** One of the two ways gone without the other, and nobody tells. */
  storeLinked = true;
  busLinked = true;
  /** What it says on the bus, and what is said to it, takes up to this long. */
  busDelayMs = 0;

  constructor(world: NodeWorld, rules: Rules, rate: number, offset: number) {
    this.#world = world;
    this.#rules = rules;
    this.id = rules.instanceId;
    this.#rate = rate;
    this.#offset = offset;
    this.#state = initialState(rules);
  }

  get state(): MachineState {
    return this.#state;
  }

  /** The run that failsafe knows this process by. */
  get run(): string | undefined {
    return this.#rules.failsafe?.run;
  }

  /** What `isLeader` would say now. */
  leads(): boolean {
    const { phase, term } = this.#state;
    // On a sleeping machine nobody can ask.
    if (!this.alive || this.#asleepSince !== undefined || this.#groggy) return false;
    return phase === 'leading' && term !== undefined && this.#local() < term.deadline;
  }

  feed(event: MachineEvent): void {
    if (!this.alive) return;
    if (this.frozen || this.#asleepSince !== undefined) {
      this.#inbox.push(event);
      return;
    }
    if (event.type === 'demoted' && event.token === this.#hooks) this.#hooks = undefined;
    if (event.type === 'suspended') this.#groggy = false;
    const { plant } = this.#world;
    const now = this.#local();
    const { state, effects } = step(this.#rules, spoilBefore(plant, this.#state, event, now), event, now);
    this.#state = spoilAfter(plant, this.#rules, state);
    this.#trace(event, effects);
    for (const effect of effects) this.#perform(effect);
    this.#arm();
    this.#world.check();
  }

  /** Delivers after a local delay, unless the process has died meanwhile. */
  later(ms: number, event: MachineEvent): void {
    const { life } = this;
    this.#world.schedule.after(ms, () => {
      if (this.life === life) this.feed(event);
    });
  }

  freeze(): void {
    this.frozen = true;
  }

  thaw(): void {
    if (!this.frozen) return;
    this.frozen = false;
    if (this.#asleepSince === undefined) this.#catchUp();
  }

  /** The whole machine sleeps: its monotonic clock does not go on. */
  sleep(): void {
    if (this.alive) this.#asleepSince ??= this.#world.schedule.now;
  }

  /** Its wall clock did go on, which is looked at before anything else. */
  wake(): void {
    if (this.#asleepSince === undefined) return;
    this.#offset -= (this.#world.schedule.now - this.#asleepSince) * this.#rate;
    this.#asleepSince = undefined;
    this.#inbox.unshift({ type: 'suspended' });
    this.#groggy = true;
    if (!this.frozen) this.#catchUp();
  }

  /** Everything that arrived meanwhile is there at once; the timer may come before or after it. */
  #catchUp(): void {
    const inbox = this.#inbox.splice(0);
    const tick: MachineEvent = { type: 'tick' };
    const first = inbox[0]?.type === 'suspended' ? [] : [tick];
    for (const event of this.#world.random.int(2) === 0 ? [...first, ...inbox] : [...inbox, tick]) this.feed(event);
  }

  kill(): void {
    this.alive = false;
    this.life += 1;
    this.#wake?.();
  }

  /** A new process with the same id, knowing nothing. */
  restart(): void {
    if (this.alive) return;
    this.alive = true;
    this.frozen = false;
    this.#asleepSince = undefined;
    this.#groggy = false;
    this.linked = true;
    this.watching = true;
    this.storeLinked = true;
    this.busLinked = true;
    this.busDelayMs = 0;
    this.#inbox = [];
    this.#hooks = undefined;
    this.#offset = this.#world.random.next() * 1e6;
    const { failsafe } = this.#rules;
    this.#rules = {
      ...this.#rules,
      epochFloor: this.#world.floor(),
      failsafe: failsafe === undefined ? failsafe : { ...failsafe, run: this.#world.random.uuid() },
    };
    this.#state = initialState(this.#rules);
    this.feed({ type: 'start' });
  }

  /** A planted fault: the clock that the protocol relies on jumps. */
  stepClock(ms: number): void {
    this.#offset += ms;
    this.#arm();
  }

  #trace(event: MachineEvent, effects: readonly Effect[]): void {
    const { phase, view, term } = this.#state;
    const left = term === undefined ? '' : ` left ${(term.deadline - this.#local()).toFixed(0)}`;
    this.#world.trace(
      `${this.id} ${JSON.stringify(event)} -> ${phase}/${view}${left} ${effects.map((e) => JSON.stringify(e)).join(' ')}`,
    );
  }

  #local(): number {
    return this.#offset + this.#world.schedule.now * this.#rate;
  }

  #arm(): void {
    this.#wake?.();
    this.#wake = undefined;
    const at = wakeAt(this.#rules, this.#state);
    if (at === undefined) return;
    // A timer never fires early, and a little late on a busy machine.
    const ms = Math.max(0, (at - this.#local()) / this.#rate) + 0.001 + this.#world.random.next();
    this.#wake = this.#world.schedule.after(ms, () => this.feed({ type: 'tick' }));
  }

  #remember(): void {
    const { epochFloor, observed } = this.#state;
    this.#knewEpoch = epochFloor;
    this.#payloadEpoch = observed.lease?.epoch ?? 0;
  }

  #perform(effect: Effect): void {
    const { random, hookMs } = this.#world;
    switch (effect.type) {
      case 'read':
      case 'create':
      case 'update':
      case 'delete':
        if (effect.type !== 'read' && this.#state.flight?.kind === 'acquire') this.#remember();
        this.#world.send(this, effect);
        return;
      case 'tell':
        this.#world.tell(this, effect.message);
        return;
      case 'extended':
        this.#world.extended();
        return;
      case 'note':
        if (effect.event === 'failsafe_ended') this.#world.bridged();
        else if (effect.event === 'priority_takeover_success') this.#world.tally.count('preemption');
        return;
      case 'guard': {
        const { token } = effect.term;
        const type = random.next() < 0.02 ? 'unguardable' : 'guarded';
        if (type === 'unguardable') this.#world.tally.count(type);
        this.later(random.next() * 20, { type, token });
        return;
      }
      case 'promote': {
        if (this.#hooks !== undefined) this.#world.violate(`${this.id} leads while hooks of its last term run`);
        const byPayload = this.#world.plant === 'epoch_from_payload';
        this.#world.promoted(this, byPayload ? this.#payloadEpoch + 1 : effect.term.epoch, this.#knewEpoch);
        return;
      }
      case 'demote': {
        if (!effect.planned) this.#world.lost(this, effect.reason);
        if (this.#hooks !== undefined) this.#world.violate(`${this.id} ends a term while hooks of another run`);
        this.#hooks = effect.token;
        const clean = random.next() < 0.9;
        if (!clean) this.#world.tally.count('unclean_hooks');
        this.later(random.next() * hookMs, { type: 'demoted', token: effect.token, clean });
        return;
      }
      default:
    }
  }
}

/** Rules as the shell derives them, for a node of a simulation. */
export function simulatedRules(seed: string, given: Partial<Rules> & Pick<Rules, 'instanceId' | 'ttlMs'>): Rules {
  const { ttlMs } = given;
  return {
    priority: 0,
    allowPriorityTakeover: false,
    preemptible: true,
    takeoverCooldownMs: ttlMs / 2,
    marginMs: ttlMs / 10,
    heartbeatMs: ttlMs / 3,
    graceMs: ttlMs * 10,
    jitterMs: 20,
    handoffWaitMs: Math.max(500, ttlMs / 10),
    holdOffMs: ttlMs / 5,
    epochFloor: 0,
    random: seededRandom(seed),
    ...given,
  };
}
