/**
 * Checkpoints in a KV bucket: they outlive the process and the machine, and another one may go on. One key per subscriber and topic; the
 * value is the offset as decimal text. Names of buckets and keys are persistent.
 */
import type { Kv, NatsSession } from '@canopy/nats';
import { checkNamespace } from '../log/subjects.ts';
import type { CheckpointStore } from '../ports/checkpoint-store.ts';
import { storeInputInvalid } from '../store/store-key.ts';

export interface KvCheckpointOptions {
  readonly namespace: string;
  /** Subscribers of different names keep positions of their own. Any text up to 500 bytes. Default `default`. */
  readonly subscriber?: string;
  /** Copies of the bucket that is made. Default: 3 where the server is a cluster of three or more, else 1. */
  readonly replicas?: number;
}

/**
 * Calls throw what those of a KV bucket throw; a `set` that resolved is on a quorum, and one of no offset throws STATE_STORE_INPUT_INVALID.
 * Keys are any text up to 500 bytes.
 */
export async function kvCheckpoints(session: NatsSession, options: KvCheckpointOptions): Promise<CheckpointStore> {
  const namespace = checkNamespace(options.namespace, 'kvCheckpoints');
  const { subscriber = 'default', replicas } = options;
  const kv = await session.ensureKv(`CANOPY_REPLICATION_${namespace}_checkpoints`, {
    ...(replicas === undefined ? {} : { replicas }),
  });
  return new KvCheckpoints(kv, tokenOf(subscriber));
}

class KvCheckpoints implements CheckpointStore {
  readonly #kv: Kv;
  readonly #prefix: string;

  constructor(kv: Kv, subscriber: string) {
    this.#kv = kv;
    this.#prefix = `${subscriber}.`;
  }

  async get(key: string): Promise<number | null> {
    const entry = await this.#kv.get(this.#prefix + tokenOf(key));
    return entry === undefined ? null : Number(Buffer.from(entry.value).toString('utf8'));
  }

  async set(key: string, offset: number): Promise<void> {
    if (!Number.isSafeInteger(offset) || offset < 0)
      throw storeInputInvalid(this.#kv.bucket, `${String(offset)} is no offset: a whole number from 0 to 2^53-1`);
    await this.#kv.put(this.#prefix + tokenOf(key), Buffer.from(String(offset)));
  }

  async delete(key: string): Promise<void> {
    const token = this.#prefix + tokenOf(key);
    const entry = await this.#kv.get(token);
    if (entry !== undefined) await this.#kv.delete(token, entry.revision);
  }

  async getAll(): Promise<Map<string, number>> {
    const all = new Map<string, number>();
    for (const token of await this.#kv.keys(`${this.#prefix}>`)) {
      const key = textOf(token.slice(this.#prefix.length));
      const offset = await this.get(key);
      if (offset !== null) all.set(key, offset);
    }
    return all;
  }
}

/** Names stand for themselves; other text is coded, since keys of a bucket are no free text. */
function tokenOf(text: string): string {
  return /^[-\w]{1,200}$/.test(text) ? text : `=${Buffer.from(text).toString('base64url')}`;
}

function textOf(token: string): string {
  return token.startsWith('=') ? Buffer.from(token.slice(1), 'base64url').toString('utf8') : token;
}
