/**
 * The streams behind buckets: their configuration, opening without making, and making once. Many nodes may make the
 * same bucket at the same moment; one configuration wins, and who asked for another is told so.
 */
import { natsErrors } from '../errors.ts';
import type { CallOptions, JetStreamApi } from './api.ts';
import { JS, refusedWith } from './failures.ts';

export interface StreamInfo {
  readonly created: string;
  /** The server's time of the answer. */
  readonly ts?: string;
  readonly config: {
    readonly name: string;
    readonly num_replicas: number;
    readonly max_age: number;
    readonly max_msgs_per_subject: number;
    readonly max_bytes: number;
    readonly max_msgs: number;
    readonly discard: 'new' | 'old';
    readonly subjects?: readonly string[];
  };
  readonly state: {
    readonly bytes: number;
    readonly first_seq: number;
    readonly last_seq: number;
    readonly messages: number;
    readonly num_subjects?: number;
    readonly subjects?: Readonly<Record<string, number>>;
  };
}

/** The server's wall clock at its answer, Unix ms. 0 where it does not tell: nothing is old then. */
export function answeredAt({ ts }: StreamInfo): number {
  return ts === undefined ? 0 : Date.parse(ts);
}

/** Settings that a caller may insist on. */
export interface BucketSettings {
  readonly replicas?: number | undefined;
  readonly maxBytes?: number | undefined;
  readonly ttlMs: number;
  readonly history: number;
  /** Of a bucket that is made; one that is there has its own. */
  readonly firstRevision?: number | undefined;
}

const MS = 1_000_000;
const DEDUPLICATION_MS = 120_000;

export async function streamInfo(
  api: JetStreamApi,
  stream: string,
  options: CallOptions,
): Promise<StreamInfo | undefined> {
  try {
    return await api.call<StreamInfo>(`look up ${stream}`, `STREAM.INFO.${stream}`, undefined, options);
  } catch (error) {
    if (refusedWith(error, JS.streamNotFound)) return undefined;
    throw error;
  }
}

/** The subjects in a stream that match, page by page. For buckets of moderate size. */
export async function streamSubjects(
  api: JetStreamApi,
  stream: string,
  filter: string,
  options: CallOptions,
): Promise<Set<string>> {
  const found = new Set<string>();
  for (;;) {
    const query = { subjects_filter: filter, offset: found.size };
    const info = await api.call<StreamInfo & { total?: number }>(
      `list subjects of ${stream}`,
      `STREAM.INFO.${stream}`,
      query,
      options,
    );
    const page = Object.keys(info.state.subjects ?? {});
    for (const subject of page) found.add(subject);
    if (page.length === 0 || found.size >= (info.total ?? 0)) return found;
  }
}

/** Configuration of a KV bucket, as the stock clients make it except that reads go to the leader. */
export function kvStreamConfig(bucket: string, settings: BucketSettings, replicas: number): object {
  return {
    name: `KV_${bucket}`,
    subjects: [`$KV.${bucket}.>`],
    retention: 'limits',
    storage: 'file',
    discard: 'new',
    max_msgs_per_subject: settings.history,
    max_age: settings.ttlMs * MS,
    max_bytes: settings.maxBytes ?? -1,
    max_msgs: -1,
    max_consumers: -1,
    max_msg_size: -1,
    num_replicas: replicas,
    duplicate_window: deduplicationMs(settings.ttlMs) * MS,
    allow_rollup_hdrs: true,
    deny_delete: true,
    allow_direct: false,
    first_seq: settings.firstRevision,
  };
}

function deduplicationMs(ttlMs: number): number {
  return ttlMs > 0 ? Math.min(ttlMs, DEDUPLICATION_MS) : DEDUPLICATION_MS;
}

/** Configuration of an object bucket, as the stock clients make it. */
export function blobStreamConfig(bucket: string, settings: BucketSettings, replicas: number): object {
  return {
    name: `OBJ_${bucket}`,
    subjects: [`$O.${bucket}.C.>`, `$O.${bucket}.M.>`],
    retention: 'limits',
    storage: 'file',
    discard: 'new',
    max_age: 0,
    max_bytes: settings.maxBytes ?? -1,
    max_msgs: -1,
    max_consumers: -1,
    max_msg_size: -1,
    num_replicas: replicas,
    duplicate_window: DEDUPLICATION_MS * MS,
    allow_rollup_hdrs: true,
    allow_direct: true,
  };
}

/** Makes the stream if it is missing; throws KV_BUCKET_MISMATCH when the one there differs in what was asked for. */
export async function ensureStream(
  api: JetStreamApi,
  bucket: string,
  config: (replicas: number) => object,
  settings: BucketSettings,
  options: CallOptions,
): Promise<StreamInfo> {
  const stream = (config(1) as { name: string }).name;
  const present = await streamInfo(api, stream, options);
  if (present !== undefined) return requireSettings(bucket, present, settings);
  const replicas = settings.replicas ?? (api.link.status().clusterSize >= 3 ? 3 : 1);
  try {
    const made = await api.call<StreamInfo>(`make ${stream}`, `STREAM.CREATE.${stream}`, config(replicas), options);
    api.env.log.info('nats_bucket_made', { stream, replicas });
    return requireSettings(bucket, made, settings);
  } catch (error) {
    if (!refusedWith(error, JS.streamNameInUse)) throw error;
    const winner = await streamInfo(api, stream, options);
    // Being made for somebody else, and not to be seen yet.
    if (winner === undefined) throw natsErrors.create('KV_BUCKET_MISSING', { bucket }, error);
    return requireSettings(bucket, winner, settings);
  }
}

function requireSettings(bucket: string, info: StreamInfo, settings: BucketSettings): StreamInfo {
  const perSubject = info.config.max_msgs_per_subject;
  const pairs: readonly (readonly [string, unknown, unknown])[] = [
    ['ttlMs', Math.round(info.config.max_age / MS), settings.ttlMs],
    ['history', perSubject, settings.history],
    ['replicas', info.config.num_replicas, settings.replicas ?? info.config.num_replicas],
    ['maxBytes', info.config.max_bytes, settings.maxBytes ?? info.config.max_bytes],
  ];
  for (const [field, actual, expected] of pairs) {
    if (actual !== expected) throw natsErrors.create('KV_BUCKET_MISMATCH', { bucket, field, actual, expected });
  }
  return info;
}
