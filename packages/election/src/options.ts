/** Everything about an election that a user may choose, its defaults, and the arithmetic that follows from the ttl. */
import { type Duration, type Env, resolveOptions } from '@canopy/core';
import type { Kv, NatsSession } from '@canopy/nats';
import type { LeaseWatchdog } from './api.ts';
import type { Rules } from './machine/state.ts';

export interface ElectionOptions {
  /** The connection; the election opens its bucket on it. Either this or `kv`. */
  readonly session?: NatsSession | undefined;
  /** An open bucket, for those who have one already. Disconnects are then noticed by failing requests only. */
  readonly kv?: Kv | undefined;
  /** KV bucket, made when missing with entries that expire after `bucketTtl`. Required with `session`. */
  readonly bucket?: string;
  /** The role that is elected; the key in the bucket. Letters, digits, `-`, `_`, `=`, `/` and inner dots. */
  readonly group: string;
  /** Unique in the group; two processes with one id are two candidates that can't be told apart in status. */
  readonly instanceId: string;
  /** Length of the lease, 300 ms at least. Default 10 s. The same on all nodes of a group, else the longer one counts. */
  readonly ttl?: Duration;
  /** Renewals; a third of the ttl at most. Default: that, but not above 1 s. */
  readonly heartbeatInterval?: Duration;
  /** Bound on one request. Default a sixth of the ttl, between 50 ms and 2 s. */
  readonly requestTimeout?: Duration;
  /** How long the hooks of a term may take to end. Default 10 s. Past it the lease is not released but runs out. */
  readonly hookTimeout?: Duration;
  /** How long to lead without a connection. Default max(3 × heartbeat, 5 s); never past the lease's own deadline. */
  readonly disconnectGracePeriod?: Duration;
  /** Higher is preferred, where a challenger allows itself a takeover. Default 0: none. */
  readonly priority?: number;
  /** Preempt a leader of lower priority. Begins to lead only when that leader's lease has certainly ended. Default false. */
  readonly allowPriorityTakeover?: boolean;
  /** Random wait before a candidate writes, so that a herd spreads out. Default 20 ms at most. */
  readonly jitter?: Duration;
  /** Rest after an own step-down, so that another may win. Default max(1 s, ttl / 5), at most the ttl. */
  readonly holdOff?: Duration;
  /** Expiry of entries in a bucket that this election makes. Default the ttl; 0 = never. */
  readonly bucketTtl?: Duration;
  /** Terms get epochs above it: the highest epoch that the guarded resource has seen. Default 0. */
  readonly epochFloor?: number;
  /** Told of every lease and deadline; leadership begins only when it knows. */
  readonly watchdog?: LeaseWatchdog | undefined;
}

export interface ResolvedElectionOptions {
  readonly session: NatsSession | undefined;
  readonly kv: Kv | undefined;
  readonly bucket: string;
  readonly group: string;
  readonly bucketTtlMs: number;
  readonly requestTimeoutMs: number;
  readonly hookTimeoutMs: number;
  readonly watchdog: LeaseWatchdog | undefined;
  readonly rules: Rules;
}

const KEY = /^[-/=\w]+(\.[-/=\w]+)*$/;
const BUCKET = /^[-\w]+$/;

/** Fills defaults in; throws OPTIONS_INVALID naming every fault. */
export function resolveElectionOptions(options: ElectionOptions, env: Pick<Env, 'random'>): ResolvedElectionOptions {
  return resolveOptions('election', options, (read) => {
    const session = read.any<NatsSession | undefined>('session');
    const kv = read.any<Kv | undefined>('kv');
    read.check((session === undefined) !== (kv === undefined), 'session', 'or kv must be given, exactly one of them');
    const group = read.string('group', { required: true, pattern: KEY, patternHelp: 'must be a valid KV key' });
    const bucket = read.string('bucket', {
      required: kv === undefined,
      default: kv?.bucket ?? '',
      pattern: BUCKET,
      patternHelp: 'must be letters, digits, "-" and "_"',
    });
    read.check(kv === undefined || bucket === kv.bucket, 'bucket', `must be that of the given kv (${kv?.bucket})`);
    const ttlMs = read.durationMs('ttl', { default: 10_000, minMs: 300, maxMs: 3_600_000 });
    const heartbeatMs = read.durationMs('heartbeatInterval', { default: Math.min(ttlMs / 3, 1000), minMs: 1 });
    read.check(ttlMs >= 3 * heartbeatMs, 'heartbeatInterval', `must be at most a third of the ttl (${ttlMs} ms)`);
    const graceMs = read.durationMs('disconnectGracePeriod', { default: Math.max(3 * heartbeatMs, 5000) });
    read.check(graceMs >= 2 * heartbeatMs, 'disconnectGracePeriod', 'must be at least two heartbeats');
    const priority = read.integer('priority', { default: 0, min: 0 });
    const allowPriorityTakeover = read.boolean('allowPriorityTakeover', { default: false });
    read.check(!allowPriorityTakeover || priority > 0, 'priority', 'must be above 0 with allowPriorityTakeover');
    return {
      session,
      kv,
      bucket,
      group,
      bucketTtlMs: read.durationMs('bucketTtl', { default: ttlMs }),
      requestTimeoutMs: read.durationMs('requestTimeout', {
        default: Math.min(2000, Math.max(50, ttlMs / 6)),
        minMs: 10,
      }),
      hookTimeoutMs: read.durationMs('hookTimeout', { default: 10_000, minMs: 1 }),
      watchdog: read.any<LeaseWatchdog | undefined>('watchdog'),
      rules: {
        instanceId: read.string('instanceId', { required: true }),
        priority,
        allowPriorityTakeover,
        ttlMs,
        marginMs: marginOf(ttlMs),
        heartbeatMs,
        graceMs,
        jitterMs: read.durationMs('jitter', { default: 20 }),
        handoffWaitMs: Math.max(500, ttlMs / 10),
        holdOffMs: read.durationMs('holdOff', { default: Math.min(ttlMs, Math.max(1000, ttlMs / 5)) }),
        epochFloor: read.integer('epochFloor', { default: 0, min: 0 }),
        random: env.random,
      },
    };
  });
}

/**
 * What the holder takes off its own lease. A tenth of the ttl makes up for clocks that run 5 % apart either way
 * (0.95 / 1.05 = 0.905); on short leases more is kept, so that work has time to stop before others may begin.
 */
export function marginOf(ttlMs: number): number {
  return Math.max(ttlMs / 10, Math.min(250, ttlMs / 5));
}
