/**
 * Clusters of durable masters under turmoil, repeatable from a seed: a shared log that is late, refuses, or loses requests and answers; cut-off
 * masters; deaths with and without the disk, also in the middle of a batch; wall clocks that step and drift. At the end all is healed and
 * quiet, and an oracle that knows only the log says what the state must be.
 */
import { type Clock, type Random, seededRandom, systemEnv } from '@canopy/core';
import { settle, VirtualClock } from '@canopy/core/testing';
import {
  type ConflictStrategy,
  type LogEvent,
  type MasterEvent,
  MemoryLog,
  MemorySnapshots,
  type MergeFn,
  MultiMasterManager,
} from '../../src/index.ts';
import { unpacked } from '../../src/multi-master/event-pack.ts';
import { Disk } from './disk.ts';

export interface SimulationOptions {
  readonly seed: number;
  readonly strategy?: ConflictStrategy;
  readonly mergeFn?: (masterId: string) => MergeFn;
  /** Called when a master comes back with its disk: a planted mistake. */
  readonly onRestart?: (disk: Disk, masterId: string) => void;
  /** False: what is not quiet after five minutes never will be. Default: 40 minutes, for clocks that were far ahead. */
  readonly patient?: boolean;
  /** Masters take snapshots and trim the log, leave and come back, and compare their states often. Default: no. */
  readonly changing?: boolean;
  /** Stores come back as older copies of themselves. Default: no. */
  readonly restoring?: boolean;
  /** Changes commits: a planted mistake. */
  readonly tamper?: Disk['tamper'];
}

export interface SimulationReport {
  readonly seed: number;
  readonly violations: readonly string[];
  readonly counts: Readonly<Record<string, number>>;
}

interface Node {
  readonly id: string;
  readonly clock: NodeClock;
  disk: Disk;
  /** What its disk had once. */
  backup: Disk | undefined;
  /** Its disk is an older copy. */
  restored: boolean;
  life: number;
  alive: boolean;
  /** On its way out of the group, and back in. */
  leaving: boolean;
  master: MultiMasterManager | undefined;
  store: { die(): void } | undefined;
  cut: boolean;
  /** What took effect in this life, or before. */
  seen: Record<string, number>;
  /** A life that was thought dead, whose disk was given up, and that goes on. */
  former:
    | { readonly master: MultiMasterManager; readonly disk: Disk; readonly seen: Record<string, number> }
    | undefined;
}

class NodeClock implements Clock {
  offsetMs = 0;
  rate = 1;
  readonly #base: VirtualClock;
  constructor(base: VirtualClock) {
    this.#base = base;
  }
  wall = (): number => this.#base.wall() + (this.rate - 1) * this.#base.monotonic() + this.offsetMs;
  monotonic = (): number => this.#base.monotonic();
  timer: Clock['timer'] = (ms, run) => this.#base.timer(ms, run);
  sleep: Clock['sleep'] = (ms, options) => this.#base.sleep(ms, options);
}

const ENTITIES = ['a', 'b', 'c', 'd', 'e'];
const TURMOIL_STEPS = 60;
const QUIET_MS = 60_000;

export async function simulate(options: SimulationOptions): Promise<SimulationReport> {
  return new Simulation(options).run();
}

class Simulation {
  readonly #options: SimulationOptions;
  readonly #random: Random;
  readonly #clock = new VirtualClock();
  readonly #log: MemoryLog;
  /** Also what was trimmed away. */
  readonly #history: LogEvent[] = [];
  readonly #snapshots: MemorySnapshots;
  readonly #nodes: Node[];
  readonly #violations = new Set<string>();
  readonly #counts: Record<string, number> = {};
  /** Events by author and number, as their authors stored them; several where a lost disk lost a number. */
  readonly #written = new Map<string, MasterEvent[]>();
  readonly #acknowledged: { readonly event: MasterEvent; readonly disk: Disk; readonly inLog: boolean }[] = [];
  readonly #dead = new Set<string>();
  /** Disks of masters that stopped as older copies, and what those told to be in no log. */
  readonly #stopped = new Set<Disk>();
  readonly #told = new Set<string>();
  #calm = false;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.#random = seededRandom(`masters ${options.seed}`);
    this.#log = new MemoryLog('group', { clock: this.#clock });
    this.#log.onAppend(() => this.#history.push(this.#log.events.at(-1) as LogEvent));
    this.#snapshots = new MemorySnapshots({ clock: this.#clock });
    const size = 3 + this.#random.int(3);
    this.#nodes = Array.from({ length: size }, (_, i) => ({
      id: `m${i}`,
      clock: new NodeClock(this.#clock),
      disk: new Disk(),
      backup: undefined,
      restored: false,
      life: 0,
      alive: false,
      leaving: false,
      master: undefined,
      store: undefined,
      cut: false,
      seen: {},
      former: undefined,
    }));
    this.#log.fault = ({ node, operation }) => this.#fault(node, operation);
  }

  async run(): Promise<SimulationReport> {
    for (const node of this.#nodes) this.#start(node);
    await this.#clock.advance(500);
    for (let step = 0; step < TURMOIL_STEPS; step++) {
      await this.#act();
      await this.#clock.advance(this.#random.int(150));
    }
    await this.#heal();
    await this.#check();
    for (const { master, former } of this.#nodes) for (const each of [master, former?.master]) void each?.close();
    await settle();
    return { seed: this.#options.seed, violations: [...this.#violations], counts: this.#counts };
  }

  async #act(): Promise<void> {
    const node = this.#nodes[this.#random.int(this.#nodes.length)] as Node;
    if (this.#options.changing === true && node.alive && this.#random.int(100) < 6) return this.#change(node);
    if (this.#options.restoring === true && this.#random.int(100) < 8) return this.#restore(node);
    const dice = this.#random.int(100);
    if (!node.alive) {
      if (dice < 50 && !node.leaving) this.#start(node);
    } else if (dice < 68) await this.#write(node, node);
    else if (dice < 72) await this.#write(node, node.former);
    else if (dice < 74) this.#giveUp(node);
    else if (dice < 80) this.#die(node, dice < 76);
    else if (dice < 90) {
      node.cut = !node.cut;
      this.#count('cuts');
    } else if (dice < 95) {
      node.clock.offsetMs += this.#random.int(160_000) - 80_000;
      this.#count('steps');
    } else {
      node.clock.rate = 1 + (this.#random.next() - 0.5) / 100;
      this.#count('drifts');
    }
  }

  /** Keeps what the disk has, or brings back what was kept. */
  #restore(node: Node): void {
    if (node.leaving) return;
    if (node.backup === undefined) {
      node.backup = node.disk.copy();
      return;
    }
    if (node.alive) this.#die(node, false);
    node.disk = node.backup;
    node.backup = undefined;
    node.restored = true;
    this.#count('restored');
    this.#start(node);
  }

  #change(node: Node): void {
    const { master } = node;
    const dice = this.#random.int(4);
    if (dice === 0) void master?.compareState().catch(() => {});
    if (dice === 1 || dice === 2) {
      const trim = this.#random.int(2) === 0;
      void master?.takeSnapshot({ trim }).then(
        () => this.#count('snapshots'),
        () => {},
      );
    }
    if (dice < 3) return;
    node.alive = false;
    node.leaving = true;
    node.backup = undefined;
    node.master = undefined;
    const left = master?.leave().then(
      () => this.#count('left'),
      () => master.close(),
    );
    void left?.finally(() => {
      node.leaving = false;
    });
  }

  async #write(node: Node, writer: Pick<Node, 'master' | 'disk' | 'seen'> | undefined): Promise<void> {
    if (writer?.master === undefined) return;
    const { master, disk, seen } = writer;
    // A write would wait for that, and time stands still meanwhile.
    if ((disk.get<{ joinedAt: number }>('meta', 'self')?.joinedAt ?? 0) === 0) return;
    if ([...(disk.spaces.get('waiting')?.keys() ?? [])].some((key) => key.startsWith(`${node.id} `))) return;
    const id = ENTITIES[this.#random.int(ENTITIES.length)] as string;
    const burst = 1 + this.#random.int(4);
    for (let i = 0; i < burst; i++) {
      const gone = this.#random.int(6) === 0;
      const ack = this.#random.int(5) === 0 ? 'log' : 'local';
      const number = master.getVectorClock().get(node.id) + 1;
      const writing = gone
        ? master.delete(id, { ack })
        : master.write(id, { by: node.id, n: number, at: node.life }, { ack });
      const event = disk.get<MasterEvent>('outbox', String(number).padStart(16, '0'));
      if (event !== undefined) {
        const name = `${node.id} ${number}`;
        this.#written.set(name, [...(this.#written.get(name) ?? []), event]);
        seen[node.id] = number;
        this.#count('writes');
        if (ack === 'local') this.#acknowledged.push({ event, disk, inLog: false });
      }
      const done = writing.then(
        () => event !== undefined && ack === 'log' && this.#acknowledged.push({ event, disk, inLog: true }),
        () => {},
      );
      if (ack === 'local') await Promise.race([done, settle()]);
    }
  }

  #start(node: Node): void {
    const { strategy, mergeFn, changing = false } = this.#options;
    node.life += 1;
    node.alive = true;
    if (node.life > 1 && node.disk.commits > 0) this.#options.onRestart?.(node.disk, node.id);
    node.disk.tamper = this.#options.tamper;
    const store = node.disk.open();
    node.store = store;
    const random = seededRandom(`${this.#options.seed} ${node.id} ${node.life}`);
    const master = new MultiMasterManager(
      {
        masterId: node.id,
        pipeline: this.#log.connect(`${node.id}#${node.life}`),
        stateManager: store,
        reportInterval: 300,
        ...(changing ? { antiEntropyInterval: 60_000, snapshots: this.#snapshots } : {}),
        ...(strategy === undefined ? {} : { conflictStrategy: strategy }),
        ...(mergeFn === undefined ? {} : { mergeFn: mergeFn(node.id) }),
      },
      systemEnv({ clock: node.clock, random }),
    );
    node.master = master;
    const seen: Record<string, number> = {};
    node.seen = seen;
    Object.assign(seen, node.disk.get<{ order: { seen: Record<string, number> } }>('meta', 'reader')?.order.seen);
    seen[node.id] = master.getVectorClock().get(node.id);
    master.on('eventApplied', ({ masterId, number, entityId }) =>
      this.#applied({ id: node.id, seen }, masterId, number, entityId),
    );
    master.on('resync', ({ reason }) => {
      this.#count(reason);
      if (reason === 'trimmed') Object.assign(seen, master.getVectorClock().toJSON());
    });
    master.on('conflictDetected', () => this.#count('conflicts'));
    master.on('rejected', () => this.#count('rejected'));
    master.on('failed', ({ error }) => void this.#failed(node, master, error));
    this.#subscribe(master, node);
  }

  /** As a program does: tries again until it is in. */
  #subscribe(master: MultiMasterManager, node: Node): void {
    const { life } = node;
    master.subscribe().catch(async () => {
      await this.#clock.sleep(300);
      if (node.alive && node.life === life) this.#subscribe(master, node);
    });
  }

  /** Who lives on where nobody else was started for it, is replaced by nobody. One whose announcement came too late is started again. */
  async #failed(node: Node, master: MultiMasterManager, error: Error): Promise<void> {
    const { life, disk } = node;
    // A former life stops when it learns of the present one.
    if (!node.alive || node.master !== master) return;
    if (node.restored && error.message.includes('older copy')) {
      this.#count('oldCopies');
      this.#stopped.add(disk);
      for (const event of master.getUnsent()) this.#told.add(keyOf(event));
      await this.#clock.sleep(300);
      if (!node.alive || node.life !== life) return;
      this.#die(node, true);
      this.#start(node);
      return;
    }
    if ((disk.get<{ joinedAt: number }>('meta', 'self')?.joinedAt ?? 0) > 0) {
      this.#violations.add(`${node.id} stopped, though it was the last that was started: ${error.message}`);
      return;
    }
    this.#count('outrun');
    await this.#clock.sleep(300);
    if (!node.alive || node.life !== life) return;
    void master.close();
    this.#start(node);
  }

  #applied(node: Pick<Node, 'id' | 'seen'>, author: string, number: number, entityId: string): void {
    this.#count('applied');
    const events = this.#written.get(`${author} ${number}`) ?? [];
    if ((node.seen[author] ?? 0) >= number) this.#violations.add(`${node.id} applied ${author}:${number} twice`);
    const ready = events.some(
      (event) =>
        event.entityId === entityId &&
        Object.entries(event.vectorClock).every(([k, n]) => (node.seen[k] ?? 0) >= (k === author ? n - 1 : n)),
    );
    if (!ready) this.#violations.add(`${node.id} applied ${author}:${number} before its causes`);
    node.seen[author] = Math.max(number, node.seen[author] ?? 0);
  }

  #die(node: Node, withDisk: boolean): void {
    node.store?.die();
    this.#dead.add(`${node.id}#${node.life}`);
    node.alive = false;
    void node.master?.close().catch(() => {});
    node.master = undefined;
    this.#count('deaths');
    if (!withDisk) return;
    node.disk = new Disk();
    node.backup = undefined;
    node.restored = false;
    this.#count('disksLost');
  }

  /** Somebody takes it for dead and starts it elsewhere, without its disk; it goes on until it learns of that. */
  #giveUp(node: Node): void {
    const { master, disk, seen, former } = node;
    if (master === undefined) return;
    void former?.master.close().catch(() => {});
    node.former = { master, disk, seen };
    node.disk = new Disk();
    node.backup = undefined;
    node.restored = false;
    this.#count('givenUp');
    this.#start(node);
  }

  #fault(name: string, operation: string) {
    const [id] = name.split('#');
    const node = this.#nodes.find((each) => each.id === id) as Node;
    // What a dead process had sent may still arrive; it sends nothing more.
    if (this.#dead.has(name)) return { outcome: 'fail' as const };
    if (this.#calm) return { delayMs: this.#random.int(3) };
    if (node.cut)
      return operation === 'deliver'
        ? { delayMs: 200 + this.#random.int(300), outcome: 'fail' as const }
        : { outcome: 'fail' as const, delayMs: 20 };
    const dice = this.#random.int(100);
    if (dice < 3) return { outcome: 'fail' as const, delayMs: this.#random.int(50) };
    if (operation === 'append' && dice < 6) return { outcome: 'request-lost' as const };
    if (operation === 'append' && dice < 10) {
      this.#count('answersLost');
      return { outcome: 'answer-lost' as const, delayMs: this.#random.int(400) };
    }
    return { delayMs: this.#random.int(operation === 'append' ? 120 : 30) };
  }

  async #heal(): Promise<void> {
    this.#calm = true;
    for (const node of this.#nodes) {
      node.cut = false;
      while (node.leaving) await this.#clock.advance(100);
      if (!node.alive) this.#start(node);
    }
    // Wall clocks that ran ahead are corrected by waiting: nothing of the future stays so for ever.
    const deadline = this.#clock.monotonic() + (this.#options.patient === false ? 5 : 40) * QUIET_MS;
    while (this.#clock.monotonic() < deadline) {
      await this.#clock.advance(5000);
      if (this.#isQuiet()) return;
    }
  }

  #isQuiet(): boolean {
    const texts = this.#nodes.map(({ master }) => JSON.stringify(sorted(master?.getVectorClock().toJSON() ?? {})));
    const idle = this.#nodes.every(({ master }) => {
      const status = master?.getStatus();
      return status?.unsent === 0 && status.waiting === 0;
    });
    return idle && new Set(texts).size === 1;
  }

  async #check(): Promise<void> {
    if (!this.#isQuiet()) {
      const shown = this.#nodes.map(({ id, master }) => {
        const { waiting, unsent, vectorClock } = master?.getStatus() ?? {};
        return `${id} ${waiting} wait, ${unsent} unsent, ${JSON.stringify(sorted(vectorClock ?? {}))}`;
      });
      this.#violations.add(`not quiet: ${shown.join('; ')}`);
      return;
    }
    const hashes = await Promise.all(this.#nodes.map(({ master }) => master?.stateHash()));
    if (new Set(hashes).size !== 1) this.#violations.add(`states differ: ${hashes.join(' ')}`);
    const pending = await Promise.all(this.#nodes.map(({ master }) => pendingOf(master)));
    if (new Set(pending).size !== 1) this.#violations.add(`pending conflicts differ: ${pending.join(' | ')}`);
    const accepted = this.#accepted();
    for (const { event, disk, inLog } of this.#acknowledged) {
      if (!inLog && !this.#stopped.has(disk) && !this.#nodes.some((node) => node.disk === disk)) continue;
      if (!inLog && this.#told.has(keyOf(event))) continue;
      if (!accepted.has(keyOf(event))) this.#violations.add(`lost: ${keyOf(event)}`);
    }
    if ((this.#options.strategy ?? 'lww') === 'lww') await this.#compareWithOracle([...accepted.values()]);
  }

  /** The events that count, by the rules of the log alone: of each author's announced life, each number once. */
  #accepted(): Map<string, MasterEvent> {
    const lives = new Map<string, { readonly incarnation: string; readonly at: number; readonly active: boolean }>();
    const events = new Map<string, MasterEvent>();
    const numbers = new Set<string>();
    const all = this.#history.flatMap(({ event, sequence }) =>
      unpacked(event).map((one) => ({ event: one, sequence })),
    );
    for (const { event, sequence } of all) {
      const each = event as unknown as Omit<MasterEvent, 'type' | 'incarnation'> & {
        type: string;
        incarnation: string;
        since: number;
      };
      const life = lives.get(each.masterId);
      // One that had not known of the present life comes too late.
      const joins = each.type === 'join' && life?.incarnation !== each.incarnation && each.since >= (life?.at ?? 0);
      const leaves = each.type === 'leave' && life?.incarnation === each.incarnation;
      if (joins || leaves) {
        lives.set(each.masterId, { incarnation: each.incarnation, at: leaves ? life.at : sequence, active: joins });
        // Behind a gap nothing counts.
        let last = 0;
        while (numbers.has(`${each.masterId} ${last + 1}`)) last += 1;
        for (const [key, { masterId, vectorClock }] of events) {
          if (masterId !== each.masterId || (vectorClock[masterId] as number) <= last) continue;
          events.delete(key);
          numbers.delete(`${masterId} ${vectorClock[masterId]}`);
        }
      }
      if (each.type !== 'write' && each.type !== 'delete') continue;
      if (!life?.active || life.incarnation !== each.incarnation) continue;
      const number = `${each.masterId} ${each.vectorClock[each.masterId]}`;
      const made = each as unknown as MasterEvent;
      if (numbers.has(number) && !events.has(keyOf(made))) continue;
      numbers.add(number);
      events.set(keyOf(made), made);
    }
    return events;
  }

  async #compareWithOracle(events: readonly MasterEvent[]): Promise<void> {
    for (const id of ENTITIES) {
      const touching = events.filter(({ entityId }) => entityId === id);
      const last = touching.sort((a, b) => ((a.hlc as string) < (b.hlc as string) ? 1 : -1))[0];
      const expected = last === undefined || last.type === 'delete' ? null : JSON.stringify(last.data);
      for (const { id: node, master } of this.#nodes) {
        const entity = await master?.read(id);
        const shown = entity === null || entity === undefined ? null : JSON.stringify(entity.data);
        if (shown !== expected) this.#violations.add(`${node} shows ${shown} for ${id}, not ${expected}`);
      }
    }
  }

  #count(what: string): void {
    this.#counts[what] = (this.#counts[what] ?? 0) + 1;
  }
}

/** Which versions of which entities wait for a decision. */
async function pendingOf(master: MultiMasterManager | undefined): Promise<string> {
  const lines = ((await master?.getPendingConflicts()) ?? []).map(({ entityId, versions }) => {
    const names = versions.map(({ masterId, vectorClock }) => `${masterId}:${vectorClock[masterId]}`);
    return `${entityId} ${names.sort()}`;
  });
  return lines.sort().join('; ');
}

function keyOf({ masterId, vectorClock, hlc, incarnation }: MasterEvent): string {
  return `${masterId} ${vectorClock[masterId]} ${hlc} ${incarnation}`;
}

function sorted(clock: Record<string, number>): [string, number][] {
  return Object.entries(clock)
    .filter(([, number]) => number > 0)
    .sort(([a], [b]) => (a < b ? -1 : 1));
}
