/** Everything about an election that a user may choose, its defaults, and the arithmetic that follows from the ttl. */
import {
  type ConnectionSpec,
  type Duration,
  type Env,
  type OptionReader,
  parseDuration,
  resolveOptions,
} from '@canopy/core';
import type { Kv, NatsSession } from '@canopy/nats';
import type { LeaseWatchdog } from './api.ts';
import { INSTANCE_ID_MAX } from './call-options.ts';
import { namesServers, readConnection } from './connection-option.ts';
import type { HealthChecker } from './health.ts';
import { EPOCH_FLOOR_MAX } from './lease/lease-value.ts';
import type { FailsafeRules, Rules } from './machine/state.ts';
import { type ResolvedWarden, readWarden, type WardenChoice } from './warden-option.ts';

export interface ElectionOptions {
  /** A connection that is open already; the election opens its bucket on it and does not close it. */
  readonly session?: NatsSession | undefined;
  /** How to reach NATS: the election opens a connection of its own and closes it at the stop. */
  readonly connection?: ConnectionSpec | undefined;
  /** `connection` for those who need nothing but URLs. */
  readonly servers?: string | readonly string[] | undefined;
  /**
   * An open bucket, for those who have one already: instead of the above, or with the `session` that it is on. Without
   * a session disconnects are noticed by failing requests only.
   */
  readonly kv?: Kv | undefined;
  /** KV bucket, made when missing with entries that expire after `bucketTtl`; 200 characters. Required without `kv`. */
  readonly bucket?: string;
  /** The role that is elected; the key in the bucket. Up to 255 letters, digits, `-`, `_`, `=`, `/` and inner dots. */
  readonly group: string;
  /**
   * Unique in the group; two processes with one id are two candidates that can't be told apart in status. 256 characters at
   * most.
   */
  readonly instanceId: string;
  /** Length of the lease, 300 ms at least. Default 10 s. The same on all nodes of a group, else the longer one counts. */
  readonly ttl?: Duration;
  /** Renewals; a third of the ttl at most. Default: that, but not above 1 s. */
  readonly heartbeatInterval?: Duration;
  /** Bound on one request, the ttl at most. Default a sixth of the ttl, between 50 ms and 2 s. */
  readonly requestTimeout?: Duration;
  /** How long the hooks of a term may take to end. Default 10 s. Past it the lease is not released but runs out. */
  readonly hookTimeout?: Duration;
  /**
   * How long to lead without a connection, two heartbeats at least. Default max(3 × heartbeat, 5 s). Never past the
   * lease's own deadline: a longer one is capped, with a warning when it was asked for.
   */
  readonly disconnectGracePeriod?: Duration;
  /**
   * Looks at the lease this often and steps down when it is another's; a heartbeat at least, 0 = never. Default: no
   * looks beyond the renewals, each of which is a compare-and-set on the term's own revision and so proves the token.
   */
  readonly validationInterval?: Duration;
  /** Asked before each heartbeat, 100 ms at most; see `HealthChecker`. Default none. */
  readonly healthChecker?: HealthChecker | undefined;
  /** Health checks that fail in a row until leadership is given up. Default 3; 0 means the default. */
  readonly maxConsecutiveFailures?: number;
  /** Higher is preferred, where a challenger allows itself a takeover. Default 0: none. */
  readonly priority?: number;
  /** Preempt a leader of lower priority. Begins to lead only when that leader's lease has certainly ended. Default false. */
  readonly allowPriorityTakeover?: boolean;
  /** False: a challenger of higher priority waits for this node's terms to end by themselves. Default true. */
  readonly preemptible?: boolean;
  /** After the end of an own term nobody is preempted for this long, so that two nodes don't take turns. Default 2 × ttl. */
  readonly takeoverCooldown?: Duration;
  /** Random wait before a candidate writes, so that a herd spreads out; up to the ttl. Default 20 ms at most. */
  readonly jitter?: Duration;
  /** Rest after an own step-down, so that another may win. Default max(1 s, ttl / 5), at most the ttl. */
  readonly holdOff?: Duration;
  /** Expiry of entries in a bucket that this election makes; the ttl at least. Default the ttl; 0 = never. */
  readonly bucketTtl?: Duration;
  /** Terms get epochs above it: the highest epoch that the guarded resource has seen; 2^50 at most. Default 0. */
  readonly epochFloor?: number;
  /**
   * A bucket without expiry that keeps each group's highest epoch, so that epochs grow even over a bucket that was made
   * anew; made when missing. Default `<bucket>_epochs`; false: none. With a bare `kv` there is none.
   */
  readonly epochBucket?: string | false;
  /** Told of every lease and deadline; leadership begins only when it knows. Not together with `warden`. */
  readonly watchdog?: LeaseWatchdog | undefined;
  /** A warden process of this election's own, started and stopped with it. Needs Linux for process groups. */
  readonly warden?: WardenChoice | undefined;
  /**
   * Lead on past the lease while the bucket has no quorum, as long as every candidate that is known promises over the bus
   * to keep away. Only for groups all of whose candidates have this option: others don't know what a promise is. A
   * candidate that comes to a group without a lease, or is not known to its leader, waits for `limit`. Default false.
   */
  readonly failsafe?: boolean | FailsafeChoice | undefined;
  /** Added to every log line as `correlation_id`. */
  readonly correlationId?: string;
}

export interface FailsafeChoice {
  /**
   * How far a leader may get from its last acknowledged write, and how long an unknown candidate waits. At least twice
   * the ttl; the same on all nodes of a group. Default the ttl and 15 s: JetStream takes up to 9 s to choose a leader.
   */
  readonly limit?: Duration;
}

export interface ResolvedElectionOptions {
  readonly session: NatsSession | undefined;
  readonly connection: ConnectionSpec | undefined;
  readonly kv: Kv | undefined;
  readonly bucket: string;
  readonly group: string;
  readonly bucketTtlMs: number;
  readonly requestTimeoutMs: number;
  readonly hookTimeoutMs: number;
  /** 0 = no looks. */
  readonly validationMs: number;
  readonly healthChecker: HealthChecker | undefined;
  readonly failuresMax: number;
  /** Undefined: no record of epochs. */
  readonly epochBucket: string | undefined;
  readonly watchdog: LeaseWatchdog | undefined;
  readonly warden: ResolvedWarden | undefined;
  readonly correlationId: string | undefined;
  /** The grace that was asked for, where it is longer than the lease allows. */
  readonly cappedGraceMs: number | undefined;
  readonly rules: Rules;
}

const KEY = /^[-/=\w]+(\.[-/=\w]+)*$/;
const BUCKET = /^[-\w]+$/;
const GROUP_MAX = 255;
/** A stream's name, which is that of the epoch bucket with a prefix, has 255 at most. */
const BUCKET_MAX = 200;
const TTL = { minMs: 300, maxMs: 3_600_000 };
/** Readers of a lease take no longer limit than this. */
const LIMIT_MAX = 86_400_000;

/** Fills defaults in; throws OPTIONS_INVALID naming every fault. */
export function resolveElectionOptions(options: ElectionOptions, env: Pick<Env, 'random'>): ResolvedElectionOptions {
  return resolveOptions('election', options, (read) => {
    const place = readPlace(read, options);
    const ttlMs = read.durationMs('ttl', { default: 10_000, ...TTL });
    // A faulty ttl is reported once: what follows from it is measured against one that nobody chose.
    const asked = parseDuration(options.ttl ?? ttlMs);
    const check: OptionReader['check'] = (holds, ...fault) => read.check(holds || asked !== ttlMs, ...fault);
    const marginMs = marginOf(ttlMs);
    const heartbeatMs = read.durationMs('heartbeatInterval', { default: Math.min(ttlMs / 3, 1000), minMs: 1 });
    check(ttlMs >= 3 * heartbeatMs, 'heartbeatInterval', `must be at most a third of the ttl (${ttlMs} ms)`);
    const graceMs = read.durationMs('disconnectGracePeriod', { default: Math.max(3 * heartbeatMs, 5000) });
    check(graceMs >= 2 * heartbeatMs, 'disconnectGracePeriod', 'must be at least two heartbeats');
    const validationMs = read.durationMs('validationInterval', { default: 0 });
    check(validationMs === 0 || validationMs >= heartbeatMs, 'validationInterval', 'must be at least a heartbeat');
    const failsafe = readFailsafe(read, options, ttlMs, env);
    const bucketTtlMs = read.durationMs('bucketTtl', { default: failsafe === undefined ? ttlMs : 0 });
    const keptMs = failsafe?.limitMs ?? ttlMs;
    const kept = failsafe === undefined ? `the ttl (${ttlMs} ms)` : `the limit of failsafe (${keptMs} ms)`;
    check(bucketTtlMs === 0 || bucketTtlMs >= keptMs, 'bucketTtl', `must be 0, or ${kept} at least`);
    const requestTimeoutMs = read.durationMs('requestTimeout', {
      default: Math.min(2000, Math.max(50, ttlMs / 6)),
      minMs: 10,
    });
    check(requestTimeoutMs <= ttlMs, 'requestTimeout', `must be at most the ttl (${ttlMs} ms)`);
    const jitterMs = read.durationMs('jitter', { default: 20 });
    check(jitterMs <= ttlMs, 'jitter', `must be at most the ttl (${ttlMs} ms)`);
    const watchdog = readPort<LeaseWatchdog>(read, 'watchdog', ['hold', 'clear']);
    const warden = readWarden(read, place.connection);
    const both = options.watchdog !== undefined && options.warden !== undefined;
    read.check(!both, 'warden', 'and watchdog exclude each other');
    return {
      ...place,
      bucketTtlMs,
      requestTimeoutMs,
      hookTimeoutMs: read.durationMs('hookTimeout', { default: 10_000, minMs: 1 }),
      validationMs,
      healthChecker: readHealthChecker(read),
      failuresMax: read.integer('maxConsecutiveFailures', { default: 3, min: 0 }) || 3,
      watchdog,
      warden,
      correlationId: read.optionalString('correlationId'),
      cappedGraceMs: options.disconnectGracePeriod !== undefined && graceMs > ttlMs - marginMs ? graceMs : undefined,
      rules: {
        instanceId: read.string('instanceId', { required: true, lengthMax: INSTANCE_ID_MAX }),
        ...readPriority(read, ttlMs),
        ttlMs,
        marginMs,
        heartbeatMs,
        beatGridMs: heartbeatMs / 10,
        graceMs: Math.min(graceMs, ttlMs - marginMs),
        jitterMs,
        handoffWaitMs: Math.max(500, ttlMs / 10),
        holdOffMs: read.durationMs('holdOff', { default: Math.min(ttlMs, Math.max(1000, ttlMs / 5)) }),
        epochFloor: read.integer('epochFloor', { default: 0, min: 0, max: EPOCH_FLOOR_MAX }),
        failsafe,
        random: env.random,
      },
    };
  });
}

function readFailsafe(
  read: OptionReader,
  options: ElectionOptions,
  ttlMs: number,
  env: Pick<Env, 'random'>,
): FailsafeRules | undefined {
  const { failsafe: choice } = options;
  if (choice === undefined || typeof choice === 'boolean') read.boolean('failsafe');
  if (choice === undefined || choice === false) return undefined;
  const plainMs = ttlMs + 15_000;
  const limit = { default: plainMs, minMs: 2 * ttlMs, maxMs: LIMIT_MAX };
  const limitMs =
    choice === true ? plainMs : (read.object('failsafe', (inner) => inner.durationMs('limit', limit)) ?? plainMs);
  const wired = [options.session, options.connection, options.servers].some((way) => way !== undefined);
  read.check(wired, 'failsafe', 'needs session, connection or servers: its messages go over the bus');
  return { run: env.random.uuid(), limitMs };
}

/** Where the lease is: connection, bucket and key. */
function readPlace(read: OptionReader, options: ElectionOptions) {
  const session = readPort<NatsSession>(read, 'session', ['kv', 'ensureKv', 'status', 'watch']);
  const kv = readPort<Kv>(read, 'kv', ['get', 'create', 'update', 'delete', 'watch', 'info']);
  const { servers } = options;
  const ways = [options.session, options.connection, servers].filter((way) => way !== undefined).length;
  read.check(
    ways === 1 || (ways === 0 && options.kv !== undefined),
    'session',
    'or connection, servers or kv must be given, one of them',
  );
  read.check(
    options.kv === undefined || (options.connection ?? servers) === undefined,
    'kv',
    'is open already: give its session, if anything',
  );
  const spec = readConnection(read, 'connection');
  read.any('servers');
  const urls = { servers: [servers ?? []].flat() };
  read.check(servers === undefined || namesServers(urls), 'servers', 'must name at least one server by its URL');
  const connection = spec ?? (servers === undefined ? undefined : urls);
  const group = read.string('group', {
    required: true,
    lengthMax: GROUP_MAX,
    pattern: KEY,
    patternHelp: 'must be a valid KV key',
  });
  const bucket = read.string('bucket', {
    required: kv === undefined,
    default: kv?.bucket ?? '',
    lengthMax: BUCKET_MAX,
    pattern: BUCKET,
    patternHelp: 'must be letters, digits, "-" and "_"',
  });
  read.check(kv === undefined || bucket === kv.bucket, 'bucket', `must be that of the given kv (${kv?.bucket})`);
  const epochBucket = readEpochBucket(read, options, bucket);
  return { session, connection, kv, bucket, group, epochBucket };
}

/** An object that a caller made by other means: what we call must be there. */
function readPort<T extends object>(read: OptionReader, field: string, methods: readonly string[]): T | undefined {
  const port = read.any<unknown>(field);
  if (port === undefined) return undefined;
  const fine =
    typeof port === 'object' &&
    port !== null &&
    methods.every((name) => typeof (port as Readonly<Record<string, unknown>>)[name] === 'function');
  read.check(fine, field, `must be an object with ${methods.map((name) => `${name}()`).join(', ')}`);
  return fine ? (port as T) : undefined;
}

function readEpochBucket(read: OptionReader, options: ElectionOptions, bucket: string): string | undefined {
  const name = read.any<string | false | undefined>('epochBucket');
  const fine = name === undefined || name === false || (typeof name === 'string' && BUCKET.test(name));
  read.check(fine, 'epochBucket', 'must be false, or letters, digits, "-" and "_"');
  read.check(
    name === undefined || name !== bucket,
    'epochBucket',
    'must not be the bucket of the leases, which expire',
  );
  if (name === false || (options.kv !== undefined && options.session === undefined)) return undefined;
  return name ?? `${bucket}_epochs`;
}

function readPriority(read: OptionReader, ttlMs: number) {
  const priority = read.integer('priority', { default: 0, min: 0 });
  const allowPriorityTakeover = read.boolean('allowPriorityTakeover', { default: false });
  read.check(!allowPriorityTakeover || priority > 0, 'priority', 'must be above 0 with allowPriorityTakeover');
  return {
    priority,
    allowPriorityTakeover,
    preemptible: read.boolean('preemptible', { default: true }),
    takeoverCooldownMs: read.durationMs('takeoverCooldown', { default: 2 * ttlMs }),
  };
}

function readHealthChecker(read: OptionReader): HealthChecker | undefined {
  const checker = read.any<HealthChecker | undefined>('healthChecker');
  const fine = checker === undefined || typeof checker === 'function' || typeof checker?.check === 'function';
  read.check(fine, 'healthChecker', 'must be a function, or have a method check()');
  return checker;
}

/**
 * What the holder takes off its own lease. A tenth of the ttl makes up for clocks that run 5 % apart either way
 * (0.95 / 1.05 = 0.905); on short leases more is kept, so that work has time to stop before others may begin.
 */
export function marginOf(ttlMs: number): number {
  return Math.max(ttlMs / 10, Math.min(250, ttlMs / 5));
}
