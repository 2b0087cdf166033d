/**
 * The load on both groups, and what was acknowledged. A call to a process that stands still is left behind, not given up: what it
 * acknowledges when it goes on counts like any other.
 */
import { type Env, pick, type Random, seededRandom, TaskGroup } from '@canopy/core';
import type { Member } from './group.ts';
import type { Ack, Acknowledged, Shown } from './history.ts';

const FOLLOWING_WRITERS = 4;
const KEYS = 25;
const PACE_MS = 8;
const PATIENCE_MS = 800;
const SNAPSHOT_EVERY_MS = 700;
const SNAPSHOT_MS = 5000;
/** Shorter than the patience: a follower that is down is no reason to stand still. */
const WRITE_MS = 5000;
const FOLLOWERS_MS = 700;
export const COUNTER = 'sold';

interface Answer {
  readonly success?: boolean;
  readonly sequence?: number;
  readonly token?: string;
  readonly leaderId?: string;
  readonly value?: string | null;
}

/** What a session has seen: it travels with it, from member to member. */
interface Session {
  token: string | undefined;
  sequence: number;
}

export class Writers implements AsyncDisposable {
  readonly following: Acknowledged[] = [];
  readonly masters: Acknowledged[] = [];
  readonly shown: Shown[] = [];
  /** Increments of a counter; `asked` by all, the rest by those that were answered. */
  readonly counts = { asked: 0, acknowledged: [] as Pick<Acknowledged, 'node' | 'disk'>[] };
  readonly #env: Env;
  readonly #tasks = new TaskGroup((error) => this.#failed.push(error));
  readonly #failed: unknown[] = [];
  readonly #busy = new Set<Promise<unknown>>();
  #paused = false;
  #tick = 0;
  #leader: string | undefined;

  constructor(seed: string, following: readonly Member[], masters: readonly Member[], env: Env) {
    this.#env = env;
    for (let i = 0; i < FOLLOWING_WRITERS; i++) {
      const session: Session = { token: undefined, sequence: 0 };
      this.#loop(`w${i}`, seededRandom(`${seed}-w${i}`), (random, value) =>
        random.next() < 0.25
          ? this.#readFollowing(following, random, session)
          : this.#writeFollowing(following, random, value, session),
      );
    }
    for (const master of masters)
      this.#loop(master.id, seededRandom(`${seed}-${master.id}`), (random, value) =>
        this.#writeMaster(master, random, value),
      );
    this.#tasks.run('snapshots', (signal) => this.#snapshots(masters, seededRandom(`${seed}-snapshots`), signal));
  }

  /** Writes acknowledged so far, by group and master. */
  acknowledged(): Readonly<Record<string, number>> {
    const all: Record<string, number> = { following: this.following.length };
    for (const { node } of this.masters) all[node] = (all[node] ?? 0) + 1;
    return all;
  }

  /** One write to the leader; whether it was acknowledged. */
  async write(leader: Member, request: { key: string; value: string; ack: Ack; timeoutMs: number }): Promise<Answer> {
    const { key, value, ack, timeoutMs } = request;
    const [begun, disk] = [this.#tick++, leader.disk];
    const body = { request: { key, value, operation: 'update' }, ack, timeoutMs };
    const answer = await leader.ask<Answer>('write', body);
    const sequence = answer.sequence ?? 0;
    if (answer.success)
      this.following.push({ node: leader.id, disk, ack, key, value, begun, ended: this.#tick++, sequence });
    return answer;
  }

  /** Resolves when no write is under way. */
  async pause(): Promise<void> {
    this.#paused = true;
    while (this.#busy.size > 0) await Promise.all(this.#busy);
    if (this.#failed.length > 0) throw this.#failed[0];
  }

  resume(): void {
    this.#paused = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tasks.stop();
  }

  #loop(name: string, random: Random, call: (random: Random, value: string) => Promise<void>): void {
    const { clock } = this.#env;
    this.#tasks.run(name, async (signal) => {
      for (let i = 0; !signal.aborted; i++) {
        if (!this.#paused) {
          const called = call(random, `${name}-${i}`).catch(() => {});
          this.#busy.add(called);
          called.finally(() => this.#busy.delete(called));
          await Promise.race([called, clock.sleep(PATIENCE_MS, { signal }).catch(() => {})]);
        }
        await clock.sleep(PACE_MS, { signal }).catch(() => {});
      }
    });
  }

  async #writeFollowing(members: readonly Member[], random: Random, value: string, session: Session): Promise<void> {
    const named = members.find(({ id }) => id === this.#leader);
    const member = named ?? (members[random.int(members.length)] as Member);
    this.#leader = undefined;
    const key = keyOf(random);
    const ack = pick(random, ['local', 'stream', 'stream', 'stream', 'stream', 'followers:1', 'followers:2'] as const);
    const timeoutMs = ack.startsWith('followers') ? FOLLOWERS_MS : WRITE_MS;
    const answer = await this.write(member, { key, value, ack, timeoutMs });
    this.#leader = answer.success ? member.id : answer.leaderId;
    // What is only on its way may never come: no session could go on behind it.
    if (answer.success && ack !== 'local') see(session, answer);
  }

  async #readFollowing(members: readonly Member[], random: Random, session: Session): Promise<void> {
    const member = pick(random, members);
    const key = keyOf(random);
    const { token, sequence: floor } = session;
    const answer = await member.ask<Answer>('read', { key, ...(token === undefined ? {} : { token }) });
    if (answer.success !== true) return;
    this.shown.push({ node: member.id, key, value: answer.value ?? null, floor });
    see(session, answer);
  }

  /** Half of them meet the other masters' writes of the same keys. */
  async #writeMaster(master: Member, random: Random, value: string): Promise<void> {
    const chance = random.next();
    const [begun, disk, node] = [this.#tick++, master.disk, master.id];
    if (chance < 0.2) {
      this.counts.asked += 1;
      const { success } = await master.ask<Answer>('count', { key: COUNTER });
      if (success) this.counts.acknowledged.push({ node, disk });
      return;
    }
    const key = chance < 0.6 ? `shared-${random.int(KEYS)}` : `own-${value}`;
    const ack = random.next() < 0.3 ? 'log' : 'local';
    const { success } = await master.ask<Answer>('write', { key, value, ack });
    if (success) this.masters.push({ node, disk, ack, key, value, begun, ended: this.#tick++, sequence: 0 });
  }

  /** Takes snapshots and trims the masters' log; the leader and its followers do so by themselves. */
  async #snapshots(masters: readonly Member[], random: Random, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#env.clock.sleep(SNAPSHOT_EVERY_MS, { signal }).catch(() => {});
      // It may be down, or stand still: another one comes soon.
      await pick(random, masters)
        .ask('snapshot', {}, SNAPSHOT_MS)
        .catch(() => {});
    }
  }
}

const keyOf = (random: Random): string => `k${random.int(KEYS)}`;

function see(session: Session, { token, sequence = 0 }: Answer): void {
  if (token === undefined || sequence <= session.sequence) return;
  [session.token, session.sequence] = [token, sequence];
}
