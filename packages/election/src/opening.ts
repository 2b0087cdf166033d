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

export interface Opened {
  readonly session: NatsSession | undefined;
  readonly kv: Kv;
  readonly record: EpochRecord | undefined;
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
    const kv = await abortable(openBucket(options, session, env.clock), signal);
    const record =
      epochBucket === undefined || session === undefined
        ? undefined
        : new EpochRecord({ session, bucket: epochBucket, group, clock: env.clock, log, timeoutMs });
    const close = async (): Promise<void> => {
      await record?.settle();
      await own?.close();
    };
    return { session, kv, record, close };
  } catch (error) {
    await own?.close();
    throw error;
  }
}

/**
 * Opens the bucket, making it when missing. An existing one is taken as it is, as long as it does not drop entries
 * before a lease ends: ELECTION_BUCKET_TTL.
 */
export async function openBucket(
  options: ResolvedElectionOptions,
  session: NatsSession | undefined,
  clock: Clock,
): Promise<Kv> {
  const kv = options.kv ?? (await ensure(session as NatsSession, options, clock));
  const { ttlMs: actualMs } = await kv.info();
  const ttlMs = Math.max(options.rules.ttlMs, options.rules.failsafe?.limitMs ?? 0);
  if (actualMs !== 0 && actualMs < ttlMs)
    throw electionErrors.create('ELECTION_BUCKET_TTL', { bucket: kv.bucket, group: options.group, actualMs, ttlMs });
  return kv;
}

async function ensure(session: NatsSession, options: ResolvedElectionOptions, clock: Clock): Promise<Kv> {
  const { bucket, bucketTtlMs: ttlMs, rules } = options;
  try {
    return await session.ensureKv(bucket, { ttlMs, firstRevision: firstRevision(clock.wall(), rules.epochFloor) });
  } catch (error) {
    if (!hasCode(error, 'KV_BUCKET_MISMATCH')) throw error;
    return session.kv(bucket);
  }
}
