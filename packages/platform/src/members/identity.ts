/**
 * Holding a node id: one record in the members bucket, made create-only and refreshed at its known revision with the
 * incarnation of this process in it. Invariant: this process never writes over a record of another incarnation unless
 * that record was stale (its revision unchanged for 5 refresh intervals of our clock) or its process is known dead.
 */
import { type CanopyError, type Env, hasCode, messageOf, TaskGroup } from '@canopy/core';
import type { Kv, KvEntry } from '@canopy/nats';
import { platformErrors } from '../errors.ts';
import { GONE_AFTER_MISSED } from './machine.ts';
import { type MemberMetrics, memberMetrics } from './metrics.ts';
import { decodeRecord, encodeRecord, type MemberRecord } from './record.ts';
import { isKnownDead } from './this-process.ts';

export interface IdentityOptions {
  readonly kv: Kv;
  readonly platform: string;
  readonly node: string;
  readonly incarnation: string;
  readonly refreshMs: number;
  /** The record as of now; called before each write. */
  readonly describe: () => Promise<MemberRecord>;
  /** Another process holds the id now (NODE_ID_LOST). Called once. */
  readonly onLost: (error: CanopyError) => void;
}

export class Identity {
  readonly #options: IdentityOptions;
  readonly #env: Env;
  readonly #metrics: MemberMetrics;
  readonly #tasks: TaskGroup;
  #revision: number | undefined;
  #refreshedAt: number | undefined;
  #dirty = false;
  #wake: () => void = () => {};

  constructor(options: IdentityOptions, env: Env) {
    this.#options = options;
    this.#env = env;
    this.#metrics = memberMetrics(env.metrics);
    this.#tasks = new TaskGroup((error, task) =>
      env.log.error('identity_task_failed', { task, error: messageOf(error) }),
    );
  }

  /** True while our record was refreshed recently enough that nobody can call it stale. */
  get isFresh(): boolean {
    if (this.#refreshedAt === undefined) return false;
    return this.#env.clock.monotonic() - this.#refreshedAt < GONE_AFTER_MISSED * this.#options.refreshMs;
  }

  /**
   * Takes the id; resolves when the record is ours and is being refreshed. When another live process holds it:
   * NODE_ID_IN_USE, at its first refresh that we see; a dead one's record is taken at once or after 5 intervals.
   */
  async claim(signal?: AbortSignal): Promise<void> {
    const { kv, node } = this.#options;
    for (;;) {
      signal?.throwIfAborted();
      const sentAt = this.#env.clock.monotonic();
      const value = encodeRecord(await this.#options.describe());
      try {
        const held = await kv.get(node, { signal });
        if (held === undefined) this.#revision = await kv.create(node, value, { signal });
        else if (this.#isOwn(held)) this.#revision = await kv.update(node, value, held.revision, { signal });
        else {
          await this.#outlast(held, signal);
          this.#revision = await kv.update(node, value, held.revision, { signal });
        }
        this.#refreshedAt = sentAt;
        break;
      } catch (error) {
        // Somebody was faster: look again at who it is.
        if (!hasCode(error, 'KV_CONFLICT')) throw error;
      }
    }
    this.#tasks.run('refresh', (stopped) => this.#refreshLoop(stopped));
  }

  /** Something in the record changed: write it now instead of at the next refresh. */
  kick(): void {
    this.#dirty = true;
    this.#wake();
  }

  /** Stops refreshing and removes the record if it is still ours. Never rejects; bounded by `timeoutMs`. */
  async release(timeoutMs: number): Promise<void> {
    await this.#tasks.stop();
    const revision = this.#revision;
    this.#revision = undefined;
    if (revision === undefined) return;
    const { kv, node } = this.#options;
    try {
      await kv.delete(node, revision, { timeoutMs }).catch(async (error: unknown) => {
        if (!hasCode(error, 'KV_CONFLICT')) throw error;
        // A refresh whose answer was never heard is newer than what we know.
        const now = await kv.get(node, { timeoutMs });
        if (now !== undefined && this.#isOwn(now)) await kv.delete(node, now.revision, { timeoutMs });
      });
    } catch (error) {
      this.#env.log.warn('member_leave_failed', { error: messageOf(error) });
    }
  }

  /** Returns when the record `held` has become stale; throws NODE_ID_IN_USE when its holder lives. */
  async #outlast(held: KvEntry, signal: AbortSignal | undefined): Promise<void> {
    const { kv, node, refreshMs } = this.#options;
    const holder = decodeRecord(held.value);
    // A value that is no record can't be anybody's: it is treated as stale like a silent holder's.
    if (holder !== undefined && isKnownDead(holder.process)) return;
    const clock = this.#env.clock;
    const staleAt = clock.monotonic() + GONE_AFTER_MISSED * refreshMs;
    this.#env.log.info('node_id_held', { holder: holder?.process, staleMs: GONE_AFTER_MISSED * refreshMs });
    while (clock.monotonic() < staleAt) {
      await clock.sleep(Math.min(refreshMs / 2, staleAt - clock.monotonic()), { signal });
      const now = await kv.get(node, { signal });
      if (now === undefined) return;
      if (now.revision !== held.revision) throw this.#inUse(decodeRecord(now.value) ?? holder);
    }
  }

  #inUse(holder: MemberRecord | undefined): CanopyError {
    const { platform, node, refreshMs } = this.#options;
    return platformErrors.create('NODE_ID_IN_USE', {
      platform,
      node,
      host: holder?.process.host ?? 'an unknown host',
      pid: holder?.process.pid ?? 0,
      since: new Date(holder?.startedAt ?? 0).toISOString(),
      staleMs: GONE_AFTER_MISSED * refreshMs,
    });
  }

  async #refreshLoop(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (!this.#dirty) await this.#pause(signal);
      if (signal.aborted) return;
      this.#dirty = false;
      const sentAt = this.#env.clock.monotonic();
      try {
        const value = encodeRecord(await this.#options.describe());
        await this.#write(value);
        this.#refreshedAt = sentAt;
      } catch (error) {
        if (signal.aborted) return;
        if (hasCode(error, 'NODE_ID_LOST')) {
          this.#revision = undefined;
          this.#options.onLost(error);
          return;
        }
        this.#metrics.refreshFailures.add();
        this.#env.log.warn('member_refresh_failed', { error: messageOf(error) });
      }
    }
  }

  /** Not ended by stop(): what an interrupted write has done would not be known. Bounded all the same. */
  async #write(value: Uint8Array): Promise<void> {
    const { kv, node, refreshMs } = this.#options;
    const call = { timeoutMs: 2 * refreshMs };
    try {
      this.#revision = await (this.#revision === undefined
        ? kv.create(node, value, call)
        : kv.update(node, value, this.#revision, call));
    } catch (error) {
      if (!hasCode(error, 'KV_CONFLICT')) throw error;
      const now = await kv.get(node, call);
      if (now !== undefined && !this.#isOwn(now)) throw this.#lost(decodeRecord(now.value));
      // Either an earlier write of ours was stored although its answer was lost, or the record was removed.
      this.#revision =
        now === undefined ? await kv.create(node, value, call) : await kv.update(node, value, now.revision, call);
    }
  }

  #lost(holder: MemberRecord | undefined): CanopyError {
    return platformErrors.create('NODE_ID_LOST', {
      node: this.#options.node,
      host: holder?.process.host ?? 'an unknown host',
      pid: holder?.process.pid ?? 0,
    });
  }

  #isOwn(entry: KvEntry): boolean {
    return decodeRecord(entry.value)?.incarnation === this.#options.incarnation;
  }

  /** Until the next refresh is due, or a kick. */
  #pause(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        timer.cancel();
        signal.removeEventListener('abort', done);
        this.#wake = () => {};
        resolve();
      };
      const timer = this.#env.clock.timer(this.#options.refreshMs, done);
      signal.addEventListener('abort', done, { once: true });
      this.#wake = done;
    });
  }
}
