/**
 * The highest epoch of a group, kept outside of the bucket of leases in one that never forgets. It matters only when
 * revisions have begun anew (the bucket was deleted and made again) and nobody who is alive remembers: then it keeps the
 * next term above all earlier ones. Invariant: what is recorded only grows.
 */
import { type Clock, hasCode, type Logger, messageOf, withDeadline } from '@canopy/core';
import type { Kv, NatsSession } from '@canopy/nats';
import { EPOCH_MAX } from './lease/lease-value.ts';
import { firstRevision } from './lease/revisions.ts';

/** A term waits for a look at the record, so that has a short bound. */
const READ_MS = 500;
/** Buckets that were opened, per session and name: the many groups of a session ask the server once. */
const opened = new WeakMap<NatsSession, Map<string, Promise<Kv>>>();
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
  #raising: Promise<void> = Promise.resolve();
  #answer: { readonly epoch: number; readonly askedAt: number } | undefined;

  constructor(ports: EpochRecordPorts) {
    this.#ports = ports;
  }

  /** Resolves when the last `raise` has ended, or has had its time. Never rejects. */
  async settle(): Promise<void> {
    const { clock, timeoutMs } = this.#ports;
    await withDeadline(clock, 'epoch record', 2 * timeoutMs, this.#raising).catch(() => {});
  }

  /**
   * The recorded epoch, 0 when there is none. No answer within 500 ms counts as none, with a warning. With `freshMs` an
   * answer that was asked for no longer ago will do. Never rejects.
   */
  async read(options: { freshMs?: number } = {}): Promise<number> {
    const { clock } = this.#ports;
    const askedAt = clock.monotonic();
    if (this.#answer !== undefined && askedAt - this.#answer.askedAt <= (options.freshMs ?? 0))
      return this.#answer.epoch;
    try {
      const boundMs = Math.min(READ_MS, this.#ports.timeoutMs);
      const epoch = (await withDeadline(clock, 'epoch record', boundMs, this.#present()))?.epoch ?? 0;
      this.#answer = { epoch, askedAt };
      return epoch;
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
    const { session, bucket, group, clock, timeoutMs } = this.#ports;
    const value = new TextEncoder().encode(JSON.stringify({ epoch }));
    for (let tries = 1; ; tries++) {
      const present = await this.#present();
      if (present !== undefined && present.epoch >= epoch) return;
      try {
        const kv = await bucketOf(session, bucket, () =>
          session.ensureKv(bucket, { ttlMs: 0, firstRevision: firstRevision(clock.wall()) }),
        );
        if (present === undefined) await kv.create(group, value, { timeoutMs });
        else await kv.update(group, value, present.revision, { timeoutMs });
        return;
      } catch (error) {
        if (hasCode(error, 'KV_BUCKET_MISSING')) forget(session, bucket);
        else if (!hasCode(error, 'KV_CONFLICT')) throw error;
        if (tries === TRIES_MAX) throw error;
      }
    }
  }

  /** Undefined when nothing is recorded; a missing bucket is made by the first who raises. */
  async #present(): Promise<{ epoch: number; revision: number } | undefined> {
    const { session, bucket, group, timeoutMs } = this.#ports;
    try {
      const kv = await bucketOf(session, bucket, () => session.kv(bucket));
      const entry = await kv.get(group, { timeoutMs });
      if (entry === undefined) return undefined;
      return { epoch: decodeEpoch(entry.value), revision: entry.revision };
    } catch (error) {
      if (!hasCode(error, 'KV_BUCKET_MISSING')) throw error;
      forget(session, bucket);
      return undefined;
    }
  }
}

/** The bucket as it was opened in this session, else by `open`. A failure is not kept. */
function bucketOf(session: NatsSession, bucket: string, open: () => Promise<Kv>): Promise<Kv> {
  const known = opened.get(session) ?? new Map<string, Promise<Kv>>();
  opened.set(session, known);
  const present = known.get(bucket);
  if (present !== undefined) return present;
  const opening = open();
  known.set(bucket, opening);
  opening.catch(() => {
    if (known.get(bucket) === opening) known.delete(bucket);
  });
  return opening;
}

function forget(session: NatsSession, bucket: string): void {
  opened.get(session)?.delete(bucket);
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
