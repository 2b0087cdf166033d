/**
 * Finds and repairs what masters should have in common and have not: a lost or damaged file, a mistake of ours. One tells what it
 * has seen and a hash for each of 64 groups of entities; who has seen as much, finds another hash, and has nothing newer in that group
 * sends its records of the group, and the first one answers with its own. Records are joined, so repeating is harmless. Writes go on
 * meanwhile: a group that has more in it than the clock beside its hash is not compared.
 */
import { createHash } from 'node:crypto';
import { type Env, messageOf } from '@canopy/core';
import type { Json } from '../ports/event-log.ts';
import { canonicalText } from '../values/canonical.ts';
import { compareVersions, covers, type EntityRecord, isTombstone, joinRecords } from './entity-record.ts';
import { type ClockRecord, readClock } from './event.ts';
import type { Listeners } from './listeners.ts';
import type { MasterCore } from './master-core.ts';
import { keepsRivals, type Policy } from './policy.ts';
import { inSlices } from './slices.ts';

const GROUPS = 64;
const REPAIR_BYTES = 256 * 1024;

/** As they travel. Do not change. */
export interface DigestEvent {
  readonly type: 'digest';
  readonly masterId: string;
  readonly vectorClock: ClockRecord;
  /** Empty: of this one nothing is said. */
  readonly groups: readonly string[];
}

export interface RepairEvent {
  readonly type: 'repair';
  readonly masterId: string;
  /** Who shall answer with its own records of the group; absent in an answer. */
  readonly to?: string;
  readonly group: number;
  /** What the sender had seen. */
  readonly vectorClock: ClockRecord;
  readonly records: readonly (readonly [id: string, record: EntityRecord])[];
}

export interface AntiEntropyDeps {
  readonly core: MasterCore;
  readonly policy: () => Policy;
  readonly listeners: Listeners;
  readonly append: (event: Json) => Promise<void>;
  readonly env: Env;
}

export class AntiEntropy {
  readonly #core: MasterCore;
  readonly #policy: () => Policy;
  readonly #listeners: Listeners;
  readonly #append: (event: Json) => Promise<void>;
  #work: Promise<void> = Promise.resolve();
  #queued = 0;
  readonly #env: Env;
  /** When somebody last asked for a comparison, or this began; monotonic, ms. */
  #askedAt: number;

  constructor({ core, policy, listeners, append, env }: AntiEntropyDeps) {
    this.#core = core;
    this.#policy = policy;
    this.#listeners = listeners;
    this.#append = append;
    this.#env = env;
    this.#askedAt = env.clock.monotonic();
  }

  /** Asks for a comparison wherever nobody has for so long, until the signal aborts. One master's question is enough for all. */
  async run(intervalMs: number, signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.#env;
    while (!signal.aborted) {
      const sinceMs = clock.monotonic() - this.#askedAt;
      // Who asks first is left to chance, so that not all do.
      const pauseMs = Math.max(0, intervalMs - sinceMs) + (random.next() * intervalMs) / 10;
      await clock.sleep(pauseMs, { signal }).catch(() => {});
      if (signal.aborted || this.#core.failure !== undefined) return;
      if (clock.monotonic() - this.#askedAt < intervalMs) continue;
      this.#askedAt = clock.monotonic();
      if (!this.#core.isMember || !this.#hasOthers()) continue;
      await this.publish(signal).catch((error) => log.debug('comparison_failed', { problem: messageOf(error) }));
    }
  }

  /** Tells the others what there is here. */
  async publish(signal?: AbortSignal): Promise<void> {
    this.#core.flush();
    const masterId = this.#core.self?.masterId ?? '';
    const vectorClock = this.#core.order.record();
    const groups = (await this.#groups(signal)).map(({ hash, seen }) =>
      covers(vectorClock, { seen, versions: [] }) ? hash : '',
    );
    await this.#append({ type: 'digest', masterId, vectorClock, groups } satisfies DigestEvent as unknown as Json);
  }

  /** One at a time; more than a few that wait are dropped, as the next comparison will find the same. */
  receive(event: unknown): void {
    const { type, masterId } = event as DigestEvent | RepairEvent;
    if (type === 'digest') this.#askedAt = this.#env.clock.monotonic();
    if (masterId === this.#core.self?.masterId || this.#queued > 8) return;
    this.#queued += 1;
    const run =
      type === 'digest' ? () => this.#compare(event as DigestEvent) : () => this.#repair(event as RepairEvent);
    this.#work = this.#work
      .then(run)
      .catch((error) => this.#listeners.emit('invalid', { problem: messageOf(error) }))
      .finally(() => {
        this.#queued -= 1;
      });
  }

  async #compare({ masterId, vectorClock, groups }: DigestEvent): Promise<void> {
    const theirs = readClock(vectorClock);
    this.#core.flush();
    const mine = this.#core.order.record();
    for (const master of Object.keys(theirs)) if ((mine[master] ?? 0) < (theirs[master] as number)) return;
    for (const [group, { hash, seen }] of (await this.#groups()).entries())
      if (groups[group] !== '' && hash !== groups[group] && covers(theirs, { seen, versions: [] }))
        await this.#send(group, masterId);
  }

  async #repair({ masterId, to, group, vectorClock, records }: RepairEvent): Promise<void> {
    const sender = readClock(vectorClock);
    // It may still have had what all others have deleted and forgotten since.
    if (!covers(sender, { seen: this.#core.collected, versions: [] })) return;
    const mine = this.#core.order.record();
    let repaired = 0;
    for (const [id, record] of records) {
      if (covers(mine, record) && this.#join(id, record)) repaired += 1;
    }
    if (repaired > 0) {
      this.#core.flush();
      this.#listeners.emit('resync', { reason: 'repair', masterId });
    }
    if (to !== undefined && to === this.#core.self?.masterId) await this.#send(group, undefined);
  }

  #join(id: string, theirs: EntityRecord): boolean {
    const mine = this.#core.state.get<EntityRecord>('entities', id);
    const keep = keepsRivals(this.#policy(), [...theirs.versions, ...(mine?.versions ?? [])]);
    const joined = mine === undefined ? theirs : joinRecords(mine, theirs, keep);
    if (mine !== undefined && canonicalText(joined) === canonicalText(mine)) return false;
    this.#core.store(id, joined);
    return true;
  }

  async #send(group: number, to: string | undefined): Promise<void> {
    const masterId = this.#core.self?.masterId ?? '';
    const vectorClock = this.#core.order.record();
    const base = { type: 'repair' as const, masterId, group, vectorClock };
    let records: (readonly [string, EntityRecord])[] = [];
    let bytes = 0;
    const send = async (last: boolean): Promise<void> => {
      const asked = last && to !== undefined ? { to } : {};
      const event: RepairEvent = { ...base, ...asked, records };
      if (records.length > 0 || last) await this.#append(event as unknown as Json);
      records = [];
      bytes = 0;
    };
    for await (const page of this.#pages())
      for (const [id, record] of page) {
        if (groupOf(id) !== group) continue;
        const size = JSON.stringify(record).length;
        if (bytes + size > REPAIR_BYTES) await send(false);
        records.push([id, record]);
        bytes += size;
      }
    await send(true);
  }

  #hasOthers(): boolean {
    const { members, self } = this.#core;
    return members.list().some(({ masterId, active }) => active && masterId !== self?.masterId);
  }

  #pages(signal?: AbortSignal) {
    return inSlices(this.#core.state.pages<EntityRecord>('entities'), this.#env.clock, signal);
  }

  async #groups(signal?: AbortSignal): Promise<{ hash: string; seen: Record<string, number> }[]> {
    const groups = Array.from({ length: GROUPS }, () => ({
      sum: Buffer.alloc(16),
      seen: {} as Record<string, number>,
    }));
    for await (const page of this.#pages(signal))
      for (const [id, record] of page) {
        const group = groups[groupOf(id)] as (typeof groups)[number];
        for (const author of Object.keys(record.seen))
          group.seen[author] = Math.max(group.seen[author] ?? 0, record.seen[author] as number);
        // Deletes are forgotten at different times.
        if (isTombstone(record)) continue;
        const digest = hashRecord(id, record);
        for (let i = 0; i < group.sum.length; i++) group.sum[i] = (group.sum[i] as number) ^ (digest[i] as number);
      }
    return groups.map(({ sum, seen }) => ({ hash: sum.toString('hex'), seen }));
  }
}

function hashRecord(id: string, { versions }: EntityRecord): Buffer {
  const shown = [...versions].sort(compareVersions).map(({ author, number, data }) => [author, number, data]);
  return createHash('sha256')
    .update(canonicalText([id, shown]))
    .digest();
}

/** FNV-1a. */
function groupOf(id: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193);
  return (hash >>> 0) % GROUPS;
}
