/** Where a stream begins and ends by its leader's word, and where a reader of it stands. */
import { natsErrors } from '../errors.ts';
import type { JetStreamApi } from '../jetstream/api.ts';
import { streamInfo } from '../jetstream/buckets.ts';

/** Where a reader stands. */
export interface Standing {
  /** Everything up to this was delivered, or is known not to match. */
  position: number;
  /** The stream's, when it was first seen. */
  created: string | undefined;
}

/** What the stream's leader has: its ends, and the last message that matches. */
export interface StreamEnds {
  readonly created: string;
  readonly first: number;
  readonly last: number;
  /** 0: nothing there matches. */
  readonly lastMatching: number;
}

/** The answers come from one moment or later ones: all that is said to be there was there when they came. */
export async function streamEnds(
  api: JetStreamApi,
  stream: string,
  filter: string,
  options: { timeoutMs: number; signal: AbortSignal },
): Promise<StreamEnds> {
  const info = await streamInfo(api, stream, options);
  if (info === undefined) throw natsErrors.create('STREAM_MISSING', { stream });
  const { first_seq: first, last_seq: last, messages } = info.state;
  const ends = { created: info.created, first: messages === 0 ? last + 1 : first, last };
  if (messages === 0) return { ...ends, lastMatching: 0 };
  const matching = await api.message(`read ${stream}`, stream, { last_by_subj: filter }, options);
  const lastMatching = matching?.seq ?? 0;
  return { ...ends, last: Math.max(last, lastMatching), lastMatching };
}
