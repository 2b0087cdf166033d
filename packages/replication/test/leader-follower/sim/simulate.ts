/** One schedule of turmoil over a group of nodes on one log, from a seed, and what of it does not hold. */
import { type Env, pick, systemEnv } from '@canopy/core';
import { seededRandom, VirtualClock } from '@canopy/core/testing';
import {
  type Json,
  type LeaderElection,
  LeaderFollowerManager,
  type LeaderTerm,
  type LogEvent,
  MemoryLog,
  type MemoryLogFault,
  MemoryProgressChannel,
  type ProgressChannel,
  parseSessionToken,
  SessionConsistentClient,
} from '@canopy/replication';
import { MemorySnapshots } from '../memory-snapshots.ts';
import { MemoryState } from '../memory-state.ts';
import { check, type ReadOfHistory, type WriteOfHistory } from './checks.ts';
import { clockOf, diskOf, Life, LogOfLife, type Plant } from './faulty-node.ts';

export interface Report {
  readonly seed: number;
  readonly violations: readonly string[];
  readonly counts: Readonly<Record<string, number>>;
}

interface SimulatedNode {
  readonly id: string;
  disk: MemoryState;
  life: Life;
  manager: LeaderFollowerManager;
  cutUntil: number;
  term: LeaderTerm | undefined;
}

const KEYS = ['a', 'b', 'c', 'd', 'e'];
const STEPS = 70;
/** No store takes its key; who took its epoch for one would drop all that comes later. */
const UNFIT: Json = {
  ...{ type: 'replication.write', namespace: 'sim', key: 'k'.repeat(2000), value: 0, operation: 'update' },
  ...{ epoch: 1e15, number: 1, node: 'stranger', timestamp: 0 },
};

export async function simulate(seed: number, plant: Plant = 'none'): Promise<Report> {
  return new Simulation(seed, plant).run();
}

class Simulation {
  readonly #seed: number;
  readonly #plant: Plant;
  readonly #clock = new VirtualClock();
  readonly #random;
  readonly #log: MemoryLog;
  /** Everything, also what was trimmed since. */
  readonly #appended: LogEvent[] = [];
  readonly #snapshots = new MemorySnapshots();
  readonly #nodes: SimulatedNode[] = [];
  readonly #closing: Promise<void>[] = [];
  readonly #writes: WriteOfHistory[] = [];
  readonly #reads: ReadOfHistory[] = [];
  readonly #states: { node: string; sequence: number; text: string }[] = [];
  readonly #thin: string[] = [];
  readonly #progress = new MemoryProgressChannel();
  readonly #sessions = new Map<string, string>();
  readonly #counts: Record<string, number> = {};
  /** Whether an election gives terms, or everybody may claim at any time. */
  readonly #elected: boolean;
  #epoch = 0;
  #turmoil = true;

  constructor(seed: number, plant: Plant) {
    this.#seed = seed;
    this.#plant = plant;
    this.#random = seededRandom(`leader-follower-${seed}`);
    this.#elected = this.#random.int(2) === 0;
    this.#log = new MemoryLog('sim', { clock: this.#clock });
    this.#log.fault = (call) => this.#faultOf(call.node, call.operation);
    if (plant === 'snapshot_says_more') {
      const latest = this.#snapshots.latest.bind(this.#snapshots);
      this.#snapshots.latest = async (namespace) => {
        const info = await latest(namespace);
        return info === undefined
          ? undefined
          : { ...info, sequence: Math.min(info.sequence + 2, this.#log.lastSequence) };
      };
    }
  }

  async run(): Promise<Report> {
    this.#remember();
    for (const id of ['n1', 'n2', 'n3', 'n4'].slice(0, 3 + this.#random.int(2))) this.#nodes.push(this.#newNode(id));
    await this.#step(50);
    this.#lead(pick(this.#random, this.#nodes));
    for (let i = 0; i < STEPS; i++) {
      this.#act();
      await this.#step(this.#random.int(4) === 0 ? this.#random.int(400) : this.#random.int(40));
    }
    const problem = await this.#heal();
    const history = { log: this.#appended, writes: this.#writes, reads: this.#reads, states: this.#states };
    const violations = [...check(history), ...this.#thin, ...(problem === undefined ? [] : [problem])];
    await this.#end();
    for (const { outcome } of this.#writes) this.#count(outcome);
    return { seed: this.#seed, violations, counts: { ...this.#counts, reads: this.#reads.length } };
  }

  #act(): void {
    const random = this.#random.int(100);
    const node = pick(this.#random, this.#nodes);
    if (random < 50) for (let i = this.#random.int(4); i >= 0; i--) this.#write();
    else if (random < 68) this.#read();
    else if (random < 75) this.#lead(node);
    else if (random < 77) this.#background(node.manager.demote());
    else if (random < 84) this.#cut(node);
    else if (random < 89) this.#freeze(node);
    else if (random < 96) this.#crash(node, this.#random.int(4) === 0);
    else if (random < 98)
      this.#background(this.#log.connect('stranger').append(random < 97 ? { type: 'noise' } : UNFIT));
    else this.#background(node.manager.takeSnapshot());
  }

  /** Lets time pass, and compares what replicas hold with what they should. */
  async #step(ms: number): Promise<void> {
    await this.#clock.advance(ms);
    for (const { id, disk } of this.#nodes)
      this.#states.push({ node: id, sequence: disk.position().sequence, text: disk.text() });
  }

  #write(): void {
    const leaders = this.#nodes.filter(({ manager }) => manager.getRole() === 'leader');
    const node =
      leaders.length > 0 && this.#random.int(10) > 0 ? pick(this.#random, leaders) : pick(this.#random, this.#nodes);
    const write: WriteOfHistory = {
      key: pick(this.#random, KEYS),
      value: this.#writes.length + 1,
      outcome: 'open',
      sequence: undefined,
    };
    this.#writes.push(write);
    const { life } = node;
    const session = pick(this.#random, ['s1', 's2', 's3']);
    const ack = (['local', 'followers:1'] as const)[this.#random.int(10)] ?? 'stream';
    const answered = async (): Promise<void> => {
      await life.runs();
      const first = await node.manager.write({ key: write.key, value: write.value, operation: 'update' }, { ack });
      if (ack === 'followers:1' && first.success) this.#checkFollowers(node, first.sequence as number);
      const result = (await first.confirmed) ?? first;
      await life.runs();
      write.sequence = result.sequence;
      // The log has what too few followers have reported.
      if (result.success || result.errorCode === 'ACK_INCOMPLETE') {
        write.outcome = 'acknowledged';
        if (this.#seen(session) < (result.sequence as number)) this.#sessions.set(session, result.token as string);
      } else write.outcome = result.unknown && this.#plant !== 'forgets_unknown' ? 'unknown' : 'failed';
      this.#count(result.errorCode ?? ack);
    };
    answered().catch(() => {});
  }

  #checkFollowers(leader: SimulatedNode, sequence: number): void {
    const having = this.#nodes.filter(({ id, disk }) => id !== leader.id && disk.position().sequence >= sequence);
    if (having.length === 0) this.#thin.push(`thin: no follower has ${sequence}, which one should have`);
  }

  #read(): void {
    const session = pick(this.#random, ['s1', 's2', 's3']);
    const key = pick(this.#random, KEYS);
    const token = this.#plant === 'reads_without_token' ? undefined : this.#sessions.get(session);
    const nodes = this.#nodes.filter(({ life }) => !life.frozen).map(({ manager }) => manager);
    if (nodes.length === 0) return;
    const first = nodes.splice(this.#random.int(nodes.length), 1)[0] as LeaderFollowerManager;
    const client = new SessionConsistentClient(first, nodes, {
      ...(token === undefined ? {} : { token }),
      timeoutMs: 300,
    });
    const [seen, earlier] = [this.#seen(session), this.#reads.length];
    const counts = this.#random.int(3) > 0;
    const ended = async (): Promise<void> => {
      const value = counts ? await client.read(key) : await first.read(key, token === undefined ? {} : { token });
      this.#reads.push({ session, key, value, seen, earlier, counts });
      const now = client.token;
      if (now !== undefined && parseSessionToken(now).sequence > this.#seen(session)) this.#sessions.set(session, now);
    };
    ended().catch(() => this.#count('read late'));
  }

  #seen(session: string): number {
    const token = this.#sessions.get(session);
    return token === undefined ? 0 : parseSessionToken(token).sequence;
  }

  #lead(node: SimulatedNode): void {
    if (this.#elected) this.#giveTerm(node);
    this.#background(node.manager.promote().then(() => this.#count('promotions')));
  }

  /** Terms don't overlap: the one before ends first, whether its holder runs or not. */
  #giveTerm(node: SimulatedNode): void {
    for (const other of this.#nodes) {
      const { term } = other;
      other.term = undefined;
      if (term !== undefined) (term as LeaderTerm & { end(): void }).end();
    }
    const ending = new AbortController();
    let valid = true;
    const { life } = node;
    const end = (): void => {
      valid = false;
      life.runs().then(
        () => ending.abort(new Error('over')),
        () => {},
      );
    };
    const term = { epoch: ++this.#epoch, signal: ending.signal, isValid: () => valid, end };
    node.term = term;
  }

  #cut(node: SimulatedNode): void {
    node.cutUntil = this.#clock.monotonic() + 100 + this.#random.int(1500);
    this.#count('cuts');
  }

  #freeze(node: SimulatedNode): void {
    const { life } = node;
    life.freeze();
    this.#clock.timer(50 + this.#random.int(1200), () => life.thaw());
    this.#count('freezes');
  }

  #crash(node: SimulatedNode, withDisk: boolean): void {
    this.#count(withDisk ? 'disks lost' : 'crashes');
    this.#kill(node);
    const next = this.#newNode(node.id, withDisk ? new MemoryState() : node.disk);
    this.#nodes.splice(this.#nodes.indexOf(node), 1, next);
  }

  #kill(node: SimulatedNode): void {
    node.life.dead = true;
    node.life.thaw();
    this.#closing.push(node.manager.close().catch(() => {}));
  }

  #newNode(id: string, disk = new MemoryState()): SimulatedNode {
    const life = new Life();
    const clock = clockOf(life, this.#clock);
    const env: Env = systemEnv({ clock, random: this.#random });
    const node = { id, disk, life, cutUntil: 0, term: undefined } as unknown as SimulatedNode;
    const election: LeaderElection = {
      get leadership() {
        return node.term;
      },
    };
    const manager = new LeaderFollowerManager(
      {
        nodeId: id,
        role: 'follower',
        namespace: 'sim',
        pipeline: new LogOfLife(life, this.#log.connect(id), env, this.#plant, this.#clock, () => this.#turmoil),
        stateStore: diskOf(life, disk, this.#random, this.#plant),
        writeTimeoutMs: 400,
        maxStalenessMs: 2000,
        progress: this.#plant === 'boastful_follower' ? boasting(this.#progress) : this.#progress,
        applyBatchSize: 5,
        snapshots: { store: this.#snapshots, everyEvents: 15, keepEvents: 3 },
        ...(this.#elected ? { election } : { quorumCallback: () => true }),
      },
      env,
    );
    node.manager = manager;
    this.#background(manager.start());
    return node;
  }

  #faultOf(id: string, operation: string): MemoryLogFault | undefined {
    if (!this.#turmoil) return undefined;
    const cut = (this.#nodes.find((node) => node.id === id)?.cutUntil ?? 0) - this.#clock.monotonic();
    const random = this.#random.int(100);
    if (cut > 0 && operation === 'deliver') return random < 5 ? { outcome: 'fail' } : { delayMs: cut };
    if (cut > 0) return { outcome: pick(this.#random, ['request-lost', 'answer-lost', 'fail'] as const) };
    if (operation === 'deliver')
      return random < 20 ? { delayMs: this.#random.int(random === 0 ? 300 : 10) } : undefined;
    if (random < 4) return { outcome: pick(this.#random, ['request-lost', 'answer-lost', 'fail'] as const) };
    return random < 40 ? { delayMs: this.#random.int(random < 8 ? 250 : 15) } : undefined;
  }

  /** The end of all faults: somebody leads, a write gets through, all come to the same state. */
  async #heal(): Promise<string | undefined> {
    this.#turmoil = false;
    for (const { life } of this.#nodes) life.thaw();
    await this.#step(3000);
    const leader = pick(this.#random, this.#nodes);
    let last: number | undefined;
    for (let i = 0; i < 40 && last === undefined; i++) {
      if (!leader.manager.hasLeaderLock()) this.#lead(leader);
      await this.#step(500);
      const write = leader.manager.write({ key: 'end', value: -1, operation: 'update' });
      await this.#step(500);
      const result = await Promise.race([write, undefined]);
      if (result?.success) last = result.sequence;
    }
    if (last === undefined) return 'stuck: nobody can write';
    const reached = last;
    for (let i = 0; i < 40; i++) {
      await this.#step(500);
      if (this.#nodes.every(({ disk }) => disk.position().sequence >= reached)) return undefined;
    }
    return `stuck: ${this.#nodes.map(({ id, disk }) => `${id} at ${disk.position().sequence}`).join(', ')} of ${reached}`;
  }

  async #end(): Promise<void> {
    for (const node of this.#nodes) this.#kill(node);
    const closed = Promise.all(this.#closing);
    for (let i = 0; i < 20; i++) await this.#clock.advance(500);
    await closed;
  }

  /** What is appended, before anybody can trim it. */
  #remember(): void {
    this.#log.onAppend(() => this.#appended.push(this.#log.events.at(-1) as LogEvent));
  }

  #background(work: Promise<unknown>): void {
    work.catch(() => {});
  }

  #count(what: string): void {
    this.#counts[what] = (this.#counts[what] ?? 0) + 1;
  }
}

/** Followers that report what they do not have. */
function boasting(channel: ProgressChannel): ProgressChannel {
  return {
    report: (namespace, progress) => channel.report(namespace, { ...progress, sequence: progress.sequence + 5 }),
    subscribe: (namespace, callback) => channel.subscribe(namespace, callback),
  };
}
