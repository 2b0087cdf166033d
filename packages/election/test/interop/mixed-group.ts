/** A group of our candidates and of Go programs on one bucket, all processes of their own, seen by a recorder outside. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { systemClock, systemEnv } from '@canopy/core';
import { connectNats, type Kv, type NatsSession } from '@canopy/nats';
import { ChildNode, eventually, type LeadershipInterval, type TestNatsServer } from '@canopy/testkit';
import { expect } from 'vitest';
import type { ElectionOptions } from '../../src/index.ts';
import { Recorder } from '../faults/recorder.ts';
import type { Built } from './go-program.ts';

/**
 * A peer without a deadline of its own says that it leads for up to heartbeat + 3 s after its last renewal: the bucket must
 * not drop the key before that.
 */
export const HEARTBEAT = 300;
export const TTL = 4000;

/** How long such a peer takes at most to notice that the lease is not its own, once it runs and has answers. */
export const LINGERS = 4 * HEARTBEAT + 500;

/** A member of a group, under the name by which the recorder knows it. */
export interface Member {
  readonly id: string;
  readonly process: ChildNode;
}

export class MixedGroup implements AsyncDisposable {
  readonly recorder: Recorder;
  readonly session: NatsSession;
  readonly kv: Kv;
  readonly #nats: TestNatsServer;
  readonly #binary: string;
  readonly #goArgs: readonly string[];
  #count = 0;

  private constructor(session: NatsSession, kv: Kv, nats: TestNatsServer, binary: string, goArgs: readonly string[]) {
    this.recorder = new Recorder(kv.bucket, TTL);
    this.session = session;
    this.kv = kv;
    this.#nats = nats;
    this.#binary = binary;
    this.#goArgs = goArgs;
  }

  /** A bucket of that name that expires as such peers need it. Skips where the program could not be built. */
  static async open(
    bucket: string,
    nats: TestNatsServer,
    built: Built,
    goArgs: readonly string[],
    skip: (why: string) => void,
  ): Promise<MixedGroup> {
    if (built.binary === undefined) skip(built.reason);
    const session = await connectNats(nats.connection, { name: 'test', env: systemEnv() });
    const kv = await session.ensureKv(bucket, { ttlMs: TTL });
    return new MixedGroup(session, kv, nats, built.binary as string, goArgs);
  }

  async ours(options: Partial<ElectionOptions> = {}): Promise<Member> {
    const id = `ts-${++this.#count}`;
    return { id, process: await this.recorder.candidate(id, [this.#nats.url], options) };
  }

  /** `more`: arguments after those of the group. */
  async theirs(more: readonly string[] = [], id = `go-${++this.#count}`): Promise<Member> {
    const args = [this.#nats.url, this.recorder.bucket, id, ...this.#goArgs, ...more];
    const child = spawn(this.#binary, args);
    await once(child, 'spawn');
    const process = new ChildNode(child);
    this.recorder.add(id, process);
    await process.line(/^started/);
    return { id, process };
  }

  /** Resolves once it has led at some time. */
  async led({ process }: Member, timeoutMs = 3 * TTL): Promise<void> {
    await process.line(/^lead/, { timeoutMs });
  }

  /** Resolves when it has said since this call that it leads. */
  async leadsNow({ id }: Member, timeoutMs = 3 * TTL): Promise<void> {
    const since = systemClock.monotonic();
    const saysSo = () => this.recorder.history().some(({ holder, toMs }) => holder === id && (toMs ?? 0) > since);
    await eventually(saysSo, { timeoutMs, what: `that ${id} leads` });
  }

  /** Who held each term, in the order in which they began. */
  terms(): string[] {
    return this.recorder
      .history()
      .sort((a, b) => a.fromMs - b.fromMs)
      .map(({ holder }) => holder);
  }

  /**
   * Fails unless ours began when the lease of `frozen`, stopped at `stoppedAt`, had run out, and nothing else is wrong than
   * that it still said that it leads until LINGERS after it was woken.
   */
  expectOnlyLingering(frozen: Member, heir: Member, stoppedAt: number, wokenAt: number): void {
    const terms = this.recorder.history();
    const began = Math.min(...terms.filter(({ holder }) => holder === heir.id).map(({ fromMs }) => fromMs));
    const ended = Math.max(...terms.filter((term) => term.holder === frozen.id && term.fromMs < began).map(endOf));
    expect(began).toBeGreaterThan(stoppedAt + TTL - 2 * HEARTBEAT);
    expect(ended).toBeLessThan(wokenAt + LINGERS);
    for (const violation of this.recorder.violations())
      expect(violation).toMatchObject({
        type: 'overlap',
        first: { holder: frozen.id },
        second: { holder: heir.id, fromMs: began },
      });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.recorder[Symbol.asyncDispose]();
    await this.session.close();
  }
}

const endOf = ({ toMs }: LeadershipInterval): number => toMs ?? Number.POSITIVE_INFINITY;
