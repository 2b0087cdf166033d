/**
 * The load on both groups, and what was acknowledged. A call to a process that stands still is left behind, not given up: what it
 * acknowledges when it goes on counts like any other.
 */
import { type Env, type Random, seededRandom, TaskGroup } from '@canopy/core';
import type { Member } from './group.ts';
import type { Acknowledged } from './history.ts';

const FOLLOWING_WRITERS = 4;
const KEYS = 25;
const PACE_MS = 8;
const PATIENCE_MS = 800;
export const COUNTER = 'sold';

interface Answer {
  readonly success?: boolean;
  readonly sequence?: number;
  readonly leaderId?: string;
}

export class Writers implements AsyncDisposable {
  readonly following: Acknowledged[] = [];
  readonly masters: Acknowledged[] = [];
  readonly counts = { asked: 0, acknowledged: 0 };
  readonly #env: Env;
  readonly #tasks = new TaskGroup((error) => this.#failed.push(error));
  readonly #failed: unknown[] = [];
  readonly #busy = new Set<Promise<unknown>>();
  #paused = false;
  #tick = 0;
  #leader: string | undefined;

  constructor(seed: string, following: readonly Member[], masters: readonly Member[], env: Env) {
    this.#env = env;
    for (let i = 0; i < FOLLOWING_WRITERS; i++)
      this.#loop(`w${i}`, seededRandom(`${seed}-w${i}`), (random, value) =>
        this.#writeFollowing(following, random, value),
      );
    for (const master of masters)
      this.#loop(master.id, seededRandom(`${seed}-${master.id}`), (random, value) =>
        this.#writeMaster(master, random, value),
      );
  }

  /** Writes acknowledged so far, by group and master. */
  acknowledged(): Readonly<Record<string, number>> {
    const all: Record<string, number> = { following: this.following.length };
    for (const { node } of this.masters) all[node] = (all[node] ?? 0) + 1;
    return all;
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

  #loop(name: string, random: Random, write: (random: Random, value: string) => Promise<void>): void {
    const { clock } = this.#env;
    this.#tasks.run(name, async (signal) => {
      for (let i = 0; !signal.aborted; i++) {
        if (!this.#paused) {
          const call = write(random, `${name}-${i}`).catch(() => {});
          this.#busy.add(call);
          call.finally(() => this.#busy.delete(call));
          await Promise.race([call, clock.sleep(PATIENCE_MS, { signal }).catch(() => {})]);
        }
        await clock.sleep(PACE_MS, { signal }).catch(() => {});
      }
    });
  }

  async #writeFollowing(members: readonly Member[], random: Random, value: string): Promise<void> {
    const named = members.find(({ id }) => id === this.#leader);
    const member = named ?? (members[random.int(members.length)] as Member);
    this.#leader = undefined;
    const begun = this.#tick++;
    const key = `k${random.int(KEYS)}`;
    const answer = await member.ask<Answer>('write', { key, value, operation: 'update' });
    this.#leader = answer.success ? member.id : answer.leaderId;
    if (!answer.success) return;
    const sequence = answer.sequence as number;
    this.following.push({ node: member.id, key, value, begun, ended: this.#tick++, sequence });
  }

  /** Half of them meet the other masters' writes of the same keys. */
  async #writeMaster(master: Member, random: Random, value: string): Promise<void> {
    const chance = random.next();
    const begun = this.#tick++;
    if (chance < 0.2) {
      this.counts.asked += 1;
      const { success } = await master.ask<Answer>('count', { key: COUNTER });
      if (success) this.counts.acknowledged += 1;
      return;
    }
    const key = chance < 0.6 ? `shared-${random.int(KEYS)}` : `own-${value}`;
    const { success } = await master.ask<Answer>('write', { key, value });
    if (success) this.masters.push({ node: master.id, key, value, begun, ended: this.#tick++, sequence: 0 });
  }
}
