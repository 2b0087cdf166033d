/**
 * What an election needs before it can begin, and what it must close afterwards: its connection where it opens one, the
 * bucket, the record of epochs. What was opened here is closed here; what was given stays open.
 */
import { abortable, type Clock, type Env, hasCode, type Logger } from '@canopy/core';
import { connectNats, type Kv, type NatsSession } from '@canopy/nats';
import { EpochRecord } from './epoch-record.ts';
import { electionErrors } from './errors.ts';
import { firstRevision } from './lease/revisions.ts';
import type { ResolvedElectionOptions } from './options.ts';
import { retry } from './retry/retry.ts';

export interface Opened {
  readonly session: NatsSession | undefined;
  readonly kv: Kv;
  readonly record: EpochRecord | undefined;
  /** What the record says, asked for beside the opening of the bucket; 0 for nothing. Never rejects. */
  readonly recorded: Promise<number>;
  close(): Promise<void>;
}

/** Rejects as connecting and opening do, and with ELECTION_BUCKET_TTL; nothing stays open then. */
export async function openElection(
  options: ResolvedElectionOptions,
  env: Env,
  log: Logger,
  signal: AbortSignal | undefined,
): Promise<Opened> {
  const { connection, epochBucket, group, requestTimeoutMs: timeoutMs, rules } = options;
  const name = `canopy-election-${rules.instanceId}`;
  const own = connection === undefined ? undefined : await connectNats(connection, { name, env, signal });
  const session = own ?? options.session;
  try {
    const record =
      epochBucket === undefined || session === undefined
        ? undefined
        : new EpochRecord({ session, bucket: epochBucket, group, clock: env.clock, log, timeoutMs });
    const opening = openBucket(options, session, env, signal);
    const recorded = record?.read() ?? Promise.resolve(0);
    const kv = await abortable(opening, signal);
    const close = async (): Promise<void> => {
      await record?.settle();
      await own?.close();
    };
    return { session, kv, record, recorded, close };
  } catch (error) {
    await own?.close();
    throw error;
  }
}

/**
 * Opens the bucket, making it when missing. An existing one is taken as it is, as long as it does not drop entries
 * before a lease ends: ELECTION_BUCKET_TTL. A cluster that has just started, or is making the bucket for somebody else,
 * may deny it for a while: then it is asked for again, for about ten seconds, and KV_BUCKET_MISSING after that.
 */
export async function openBucket(
  options: ResolvedElectionOptions,
  session: NatsSession | undefined,
  env: Pick<Env, 'clock' | 'random'>,
  signal: AbortSignal | undefined,
): Promise<Kv> {
  const { rules, group } = options;
  const open = (): Promise<Bucket> => ensure(session as NatsSession, options, env.clock);
  const { kv, actualMs } =
    options.kv === undefined ? await retry(open, { ...DENIED, signal }, env) : await asItIs(options.kv);
  const ttlMs = Math.max(rules.ttlMs, rules.failsafe?.limitMs ?? 0);
  if (actualMs !== 0 && actualMs < ttlMs)
    throw electionErrors.create('ELECTION_BUCKET_TTL', { bucket: kv.bucket, group, actualMs, ttlMs });
  return kv;
}

interface Bucket {
  readonly kv: Kv;
  /** After this its entries expire; 0 = never. */
  readonly actualMs: number;
}

/** Waits of 10 s in all. */
const DENIED = {
  initialMs: 50,
  maxMs: 1000,
  attempts: 14,
  isPermanent: (error: unknown) => !hasCode(error, 'KV_BUCKET_MISSING'),
} as const;

async function ensure(session: NatsSession, options: ResolvedElectionOptions, clock: Clock): Promise<Bucket> {
  const { bucket, bucketTtlMs: ttlMs, rules } = options;
  try {
    const first = firstRevision(clock.wall(), rules.epochFloor);
    // It is as asked for, or refused: no second look.
    return { kv: await session.ensureKv(bucket, { ttlMs, firstRevision: first }), actualMs: ttlMs };
  } catch (error) {
    if (!hasCode(error, 'KV_BUCKET_MISMATCH')) throw error;
    return asItIs(await session.kv(bucket));
  }
}

async function asItIs(kv: Kv): Promise<Bucket> {
  return { kv, actualMs: (await kv.info()).ttlMs };
}
