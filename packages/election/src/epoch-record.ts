/**
 * The highest epoch of a group, kept outside of the bucket of leases in one that never forgets. It matters only when
 * revisions have begun anew (the bucket was deleted and made again) and nobody who is alive remembers: then it keeps the
 * next term above all earlier ones. Invariant: what is recorded only grows.
 */
import { type Clock, hasCode, type Logger, messageOf, withDeadline } from '@canopy/core';
import type { Kv, NatsSession } from '@canopy/nats';
import { EPOCH_MAX } from './lease/lease-value.ts';

/** A term waits for a look at the record, so that has a short bound. */
const READ_MS = 500;
/** Conflicts mean that somebody else raised it meanwhile. */
const TRIES_MAX = 4;

export interface EpochRecordPorts {
  readonly session: NatsSession;
  readonly bucket: string;
  readonly group: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly timeoutMs: number;
}

export class EpochRecord {
  readonly #ports: EpochRecordPorts;
  #kv: Kv | undefined;
  #raising: Promise<void> = Promise.resolve();

  constructor(ports: EpochRecordPorts) {
    this.#ports = ports;
  }

  /** Resolves when the last `raise` has ended, or has had its time. Never rejects. */
  async settle(): Promise<void> {
    const { clock, timeoutMs } = this.#ports;
    await withDeadline(clock, 'epoch record', 2 * timeoutMs, this.#raising).catch(() => {});
  }

  /** The recorded epoch, 0 when there is none. No answer within 500 ms counts as none, with a warning. Never rejects. */
  async read(): Promise<number> {
    try {
      const boundMs = Math.min(READ_MS, this.#ports.timeoutMs);
      return (await withDeadline(this.#ports.clock, 'epoch record', boundMs, this.#present()))?.epoch ?? 0;
    } catch (error) {
      this.#ports.log.warn('epoch_record_unreadable', { error: messageOf(error) });
      return 0;
    }
  }

  /** Records the epoch unless a higher one is there. In the background: see `settle`. */
  raise(epoch: number): void {
    this.#raising = this.#raising
      .then(() => this.#raise(epoch))
      .catch((error: unknown) => this.#ports.log.warn('epoch_record_failed', { epoch, error: messageOf(error) }));
  }

  async #raise(epoch: number): Promise<void> {
    const { session, bucket, group, timeoutMs } = this.#ports;
    const value = new TextEncoder().encode(JSON.stringify({ epoch }));
    for (let tries = 1; ; tries++) {
      const present = await this.#present();
      if (present !== undefined && present.epoch >= epoch) return;
      try {
        this.#kv ??= await session.ensureKv(bucket, { ttlMs: 0 });
        if (present === undefined) await this.#kv.create(group, value, { timeoutMs });
        else await this.#kv.update(group, value, present.revision, { timeoutMs });
        return;
      } catch (error) {
        if (hasCode(error, 'KV_BUCKET_MISSING')) this.#kv = undefined;
        else if (!hasCode(error, 'KV_CONFLICT')) throw error;
        if (tries === TRIES_MAX) throw error;
      }
    }
  }

  /** Undefined when nothing is recorded; a missing bucket is made by the first who raises. */
  async #present(): Promise<{ epoch: number; revision: number } | undefined> {
    const { session, bucket, group, timeoutMs } = this.#ports;
    try {
      this.#kv ??= await session.kv(bucket);
      const entry = await this.#kv.get(group, { timeoutMs });
      if (entry === undefined) return undefined;
      return { epoch: decodeEpoch(entry.value), revision: entry.revision };
    } catch (error) {
      if (!hasCode(error, 'KV_BUCKET_MISSING')) throw error;
      this.#kv = undefined;
      return undefined;
    }
  }
}

/** Wire form: `{"epoch":7}`. Anything else counts as 0 and is overwritten. */
function decodeEpoch(bytes: Uint8Array): number {
  try {
    const { epoch } = JSON.parse(new TextDecoder().decode(bytes)) as { epoch?: unknown };
    return Number.isSafeInteger(epoch) && (epoch as number) > 0 && (epoch as number) <= EPOCH_MAX
      ? (epoch as number)
      : 0;
  } catch {
    return 0;
  }
}
