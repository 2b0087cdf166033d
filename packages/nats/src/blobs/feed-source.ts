/**
 * How an object bucket is watched. A tick would be an object, so the proof of life is a read: the last entry that the
 * leader has must have come by. Purges leave no message, so the names are compared whenever the stream has changed.
 */
import type { JetStreamApi } from '../jetstream/api.ts';
import { streamInfo, streamSubjects } from '../jetstream/buckets.ts';
import type { Delivered } from '../jetstream/consumer.ts';
import type { FeedEvent, FeedSource } from '../watch/feed.ts';
import type { Change } from '../watch/mirror.ts';
import type { BlobInfo, BlobWatchEvent } from './port.ts';
import { blobStream, decodeMeta, metaFilter, metaSubject, nameOfMetaSubject, toBlobInfo } from './wire.ts';

const SILENCE_MS = 1500;
const SWEEP_MS = 10_000;

export function blobFeedSource(api: JetStreamApi, bucket: string): FeedSource<BlobInfo> {
  const stream = blobStream(bucket);
  const filter = metaFilter(bucket);
  /** What the stream looked like at the last comparison. */
  let swept = '';
  return {
    stream,
    filter,
    silenceMs: SILENCE_MS,
    decode: (message) => decodeEntry(bucket, message),
    probe: async (timeoutMs) => {
      const last = await api.message(`probe ${bucket}`, stream, { last_by_subj: filter }, { timeoutMs });
      return last?.seq ?? 0;
    },
    sweep: {
      everyMs: SWEEP_MS,
      keys: async (timeoutMs) => {
        const state = (await streamInfo(api, stream, { timeoutMs }))?.state;
        const print = `${state?.last_seq} ${state?.messages} ${state?.bytes}`;
        if (print === swept) return undefined;
        const subjects = await streamSubjects(api, stream, filter, { timeoutMs });
        swept = print;
        return (name) => subjects.has(metaSubject(bucket, name));
      },
    },
  };
}

/** Undefined for what is no entry. */
export function decodeEntry(bucket: string, message: Delivered): Change<BlobInfo> | undefined {
  const meta = decodeMeta(message.data);
  if (meta === undefined) return undefined;
  const name = nameOfMetaSubject(bucket, message.subject);
  return { key: name, item: toBlobInfo(meta, message.streamSeq, message.writtenAt), present: !meta.deleted };
}

export function toWatchEvent(event: FeedEvent<BlobInfo>): BlobWatchEvent {
  if (event.type !== 'change') return event;
  const { item, present, key } = event.change;
  return present ? { type: 'put', blob: item } : { type: 'deleted', name: key };
}
