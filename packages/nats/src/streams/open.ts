/** Opening a stream, and making it once: many nodes may at the same moment; who asked for something else is told so. */
import { natsErrors } from '../errors.ts';
import type { CallOptions, JetStreamApi } from '../jetstream/api.ts';
import { type StreamInfo, streamInfo } from '../jetstream/buckets.ts';
import { JS, refusedWith } from '../jetstream/failures.ts';
import type { StreamOptions } from './port.ts';

const NS_PER_MS = 1_000_000;
const DUPLICATES_MS = 120_000;

/** Throws STREAM_MISMATCH when the one that is there differs in what was asked for. */
export async function openStream(
  api: JetStreamApi,
  stream: string,
  options: StreamOptions,
  call: CallOptions,
): Promise<StreamInfo> {
  const present = await streamInfo(api, stream, call);
  if (present !== undefined) return requireOptions(stream, present, options);
  const replicas = options.replicas ?? (api.link.status().clusterSize >= 3 ? 3 : 1);
  try {
    const config = streamConfig(stream, options, replicas);
    const made = await api.call<StreamInfo>(`make ${stream}`, `STREAM.CREATE.${stream}`, config, call);
    api.env.log.info('nats_stream_made', { stream, replicas });
    return requireOptions(stream, made, options);
  } catch (error) {
    if (!refusedWith(error, JS.streamNameInUse)) throw error;
    const winner = await streamInfo(api, stream, call);
    // Being made for somebody else, and not to be seen yet.
    if (winner === undefined) throw natsErrors.create('STREAM_MISSING', { stream }, error);
    return requireOptions(stream, winner, options);
  }
}

/** Nothing leaves it but by a purge; a full one refuses. */
function streamConfig(stream: string, options: StreamOptions, replicas: number): object {
  return {
    name: stream,
    subjects: options.subjects,
    retention: 'limits',
    storage: 'file',
    discard: 'new',
    max_age: 0,
    max_bytes: options.maxBytes ?? -1,
    max_msgs: -1,
    max_msgs_per_subject: -1,
    max_consumers: -1,
    max_msg_size: -1,
    num_replicas: replicas,
    duplicate_window: (options.duplicateWindowMs ?? DUPLICATES_MS) * NS_PER_MS,
    deny_delete: true,
    allow_direct: false,
  };
}

function requireOptions(stream: string, info: StreamInfo, options: StreamOptions): StreamInfo {
  const { config } = info;
  const subjects = [...(config.subjects ?? [])].sort().join(' ');
  const pairs: readonly (readonly [string, unknown, unknown])[] = [
    ['subjects', subjects, [...options.subjects].sort().join(' ')],
    ['replicas', config.num_replicas, options.replicas ?? config.num_replicas],
    ['maxBytes', config.max_bytes, options.maxBytes ?? config.max_bytes],
    ['discard', config.discard, 'new'],
  ];
  for (const [field, actual, expected] of pairs) {
    if (actual !== expected) throw natsErrors.create('STREAM_MISMATCH', { stream, field, actual, expected });
  }
  return info;
}
