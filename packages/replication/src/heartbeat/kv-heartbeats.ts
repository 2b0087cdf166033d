/**
 * Heartbeats in a KV bucket: one key per node that beats, and a watch. A beat is a change of the key; what it says does not matter.
 * They are hints: nothing is decided by them, so a beat that fails is not repeated.
 */
import { abortable, type Env, messageOf, systemEnv } from '@canopy/core';
import type { Kv, NatsSession } from '@canopy/nats';
import { checkNamespace } from '../log/subjects.ts';
import type { HeartbeatService } from '../ports/heartbeat-service.ts';
import { HeartbeatMonitor, type LeaderStatusCallback } from './monitor.ts';

export interface HeartbeatOptions {
  readonly namespace: string;
  /** A node that was not heard of for longer counts as gone, for `onLeaderStatus`. Milliseconds, default 5000. */
  readonly timeoutMs?: number;
  /** Copies of the bucket that is made. Default: 3 where the server is a cluster of three or more, else 1. */
  readonly replicas?: number;
}

export interface Heartbeats extends HeartbeatService, AsyncDisposable {
  /** Never rejects: a beat that could not be written shows by its absence. Calls during a write share the next one. */
  sendHeartbeat(nodeId: string): Promise<void>;
  /** Ends the watch; nothing is called back any more. Idempotent. */
  close(): Promise<void>;
}

const WRITE_MS = 2000;
const CLOSE_MS = 2000;
/** Keys of nodes that are gone for good vanish. */
const KEPT_MS = 3_600_000;

/**
 * Heartbeats of all nodes of a namespace. A node is taken for alive from the moment that its key is first seen: a new listener
 * learns of a dead one after the timeout, and never takes a living one for dead.
 */
export async function kvHeartbeats(
  session: NatsSession,
  options: HeartbeatOptions,
  env: Env = systemEnv(),
): Promise<Heartbeats> {
  const namespace = checkNamespace(options.namespace, 'kvHeartbeats');
  const { replicas, timeoutMs = 5000 } = options;
  const kv = await session.ensureKv(`CANOPY_REPLICATION_${namespace}_heartbeats`, {
    ttlMs: KEPT_MS,
    ...(replicas === undefined ? {} : { replicas }),
  });
  return new KvHeartbeats(kv, new HeartbeatMonitor(env, timeoutMs), env);
}

interface Beating {
  readonly current: Promise<void>;
  next: Promise<void> | undefined;
}

class KvHeartbeats implements Heartbeats {
  readonly #kv: Kv;
  readonly #monitor: HeartbeatMonitor;
  readonly #env: Env;
  readonly #end = new AbortController();
  readonly #watching: Promise<void>;
  readonly #beating = new Map<string, Beating>();
  #failing = false;

  constructor(kv: Kv, monitor: HeartbeatMonitor, env: Env) {
    this.#kv = kv;
    this.#monitor = monitor;
    this.#env = env;
    this.#watching = this.#watch().catch((error) => {
      if (!this.#end.signal.aborted)
        env.log.error('replication_heartbeats_ended', { bucket: kv.bucket, error: messageOf(error) });
    });
  }

  async sendHeartbeat(nodeId: string): Promise<void> {
    if (this.#end.signal.aborted) return;
    const beating = this.#beating.get(nodeId);
    if (beating !== undefined) {
      beating.next ??= beating.current.then(() => this.sendHeartbeat(nodeId));
      return beating.next;
    }
    const current = this.#write(nodeId).finally(() => this.#beating.delete(nodeId));
    this.#beating.set(nodeId, { current, next: undefined });
    return current;
  }

  getLastHeartbeat(nodeId: string): number | null {
    return this.#monitor.lastHeard(nodeId);
  }

  isAlive(nodeId: string, timeoutMs: number): boolean {
    return this.#monitor.isAlive(nodeId, timeoutMs);
  }

  onLeaderStatus(callback: LeaderStatusCallback): () => void {
    return this.#monitor.onStatus(callback);
  }

  async close(): Promise<void> {
    this.#end.abort();
    this.#monitor.close();
    const patience = new AbortController();
    const timer = this.#env.clock.timer(CLOSE_MS, () => patience.abort());
    await abortable(this.#watching, patience.signal).catch(() => {});
    timer.cancel();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #write(nodeId: string): Promise<void> {
    try {
      const value = Buffer.from(JSON.stringify({ at: this.#env.clock.wall() }));
      await this.#kv.put(keyOf(nodeId), value, { timeoutMs: WRITE_MS, signal: this.#end.signal });
      this.#failing = false;
    } catch (error) {
      if (this.#end.signal.aborted) return;
      this.#env.log[this.#failing ? 'debug' : 'warn']('replication_heartbeat_failed', {
        node: nodeId,
        error: messageOf(error),
      });
      this.#failing = true;
    }
  }

  async #watch(): Promise<void> {
    for await (const event of this.#kv.watch('>', { signal: this.#end.signal })) {
      if (event.type !== 'entry') continue;
      const nodeId = nodeOf(event.entry.key);
      if (event.entry.operation === 'put') this.#monitor.heard(nodeId);
      else this.#monitor.gone(nodeId);
    }
  }
}

/** Ids that are names stand for themselves; persistent, as is the bucket's name. */
function keyOf(nodeId: string): string {
  return /^[-\w]{1,200}$/.test(nodeId) && nodeId !== '_tick' ? nodeId : `=${Buffer.from(nodeId).toString('base64url')}`;
}

function nodeOf(key: string): string {
  return key.startsWith('=') ? Buffer.from(key.slice(1), 'base64url').toString('utf8') : key;
}
