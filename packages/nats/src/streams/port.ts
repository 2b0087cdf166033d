/**
 * The stream port: an ordered, durable log of messages under subjects. A message is in it once it was acknowledged, at a sequence
 * that grows; what replication of events needs of JetStream, and no more.
 */
export interface StreamMessage {
  readonly subject: string;
  readonly sequence: number;
  readonly data: Uint8Array;
  header(name: string): string | undefined;
  /** The server's wall clock at the write, Unix ms. */
  readonly storedAt: number;
}

export interface StreamCallOptions {
  readonly signal?: AbortSignal | undefined;
  /** Bound on the whole call, retries included. Default 5 s. */
  readonly timeoutMs?: number;
}

export interface StreamAppendOptions extends StreamCallOptions {
  /** An append whose id the stream took within its duplicate window is not taken again. Default: drawn, so that retries count once. */
  readonly messageId?: string;
  /**
   * Only when the stream's last sequence is this (0: nothing was ever stored). Else STREAM_CONFLICT. One that expects the end that an
   * append still on its way would make builds on that one: it fails with it, also when somebody else made that end.
   */
  readonly expectedLastSequence?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface StreamAppended {
  /** Of a duplicate: the sequence of the first one. */
  readonly sequence: number;
  /** The id was known before this call. */
  readonly duplicate: boolean;
}

export interface StreamReadOptions {
  /** The first message wanted has a greater sequence. Default 0: from the front. */
  readonly after?: number;
  /** A subject with `*` and `>`. Default: everything. */
  readonly filter?: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Messages in the order of the stream, each once. `caught-up`: the reader has all that matched up to `sequence`, which was the stream's end at
 * some moment after the reader began, or after the last interruption. `trimmed`: what it wanted may have gone from the front; what is left
 * begins at `first` or later. `interrupted`: the reader goes on by itself, behind what it delivered last.
 */
export type StreamReadEvent =
  | { readonly type: 'message'; readonly message: StreamMessage }
  | { readonly type: 'caught-up'; readonly sequence: number }
  | { readonly type: 'trimmed'; readonly first: number }
  | { readonly type: 'interrupted'; readonly reason: string };

export interface StreamStatus {
  readonly name: string;
  readonly replicas: number;
  /** When it was made, Unix ms of the server: another value means that it was made again. */
  readonly createdAt: number;
  /** The first message that is still there; `lastSequence + 1` when there is none. */
  readonly firstSequence: number;
  /** 0 when nothing was ever stored. */
  readonly lastSequence: number;
  readonly messages: number;
  readonly bytes: number;
  readonly maxBytes: number | undefined;
  /** The server's wall clock at the answer, Unix ms. */
  readonly serverTime: number | undefined;
}

export interface StreamConsumerOptions {
  /** A subject with `*` and `>`. Default: everything. */
  readonly filter?: string;
  /** Where a consumer that is made begins: behind this sequence. Default 0. One that is there goes on where it was. */
  readonly after?: number;
  /** A message not acknowledged within this is delivered again. Default 30 s. */
  readonly ackWaitMs?: number;
  /** Deliveries of one message; then it stays in the stream and is passed over. Default: no limit. */
  readonly maxDeliver?: number;
  /** Messages delivered and not yet acknowledged; at the limit nothing is delivered. Default 1000. */
  readonly maxAckPending?: number;
}

export interface StreamFetchOptions {
  /** Most messages in the batch, 1 to 10,000. Default 100. */
  readonly max?: number;
  /** Most bytes in the batch; a single larger message still comes. Default 4 MiB. */
  readonly maxBytes?: number;
  /** How long to wait for the first message. Default 5 s; 0: only what is there. */
  readonly waitMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** One delivery of a message; exactly one of `ack`, `nak`, `term` ends it. */
export interface StreamDelivery extends StreamMessage {
  /** 1 for the first delivery. */
  readonly attempt: number;
  /** Messages that waited for this consumer after this one. */
  readonly pending: number;
  /** Done. Resolves when the server knows; repeated past a lost answer. */
  ack(options?: StreamCallOptions): Promise<void>;
  /** Not done: delivered again, at once or after this time. Best effort: if it gets lost, after the ack wait. */
  nak(delayMs?: number): void;
  /** Never deliver it again. Resolves when the server knows. */
  term(options?: StreamCallOptions): Promise<void>;
  /** Still at it: the ack wait begins anew. Best effort. */
  working(): void;
}

export interface StreamConsumerInfo {
  /** Messages that match and were never delivered. */
  readonly pending: number;
  /** Delivered and not acknowledged. */
  readonly ackPending: number;
  /** Everything up to this sequence of the stream was acknowledged, or given up. */
  readonly ackFloor: number;
  readonly redelivered: number;
}

/**
 * A durable consumer: its position lives with the stream, and several processes may fetch from one. Every call may throw STREAM_CONSUMER_MISSING
 * and what the calls of a stream throw.
 */
export interface StreamConsumer {
  readonly name: string;
  /** A batch, as soon as something is there; empty when nothing came in time, or while the server can't be reached. */
  fetch(options?: StreamFetchOptions): Promise<readonly StreamDelivery[]>;
  info(options?: StreamCallOptions): Promise<StreamConsumerInfo>;
}

/**
 * Every call may throw STREAM_MISSING, NATS_CLOSED, NATS_UNREACHABLE and JETSTREAM_UNAVAILABLE (certainly not carried out), NATS_PERMISSION,
 * DEADLINE_EXCEEDED (the outcome is unknown), and the signal's reason.
 */
export interface Stream {
  readonly name: string;
  /**
   * Stores one message on a quorum. Many may be on their way at once: what is stored is in the order of the calls. An append that fails after a later one
   * was stored is not repeated. Throws STREAM_CONFLICT (certain: not stored), STREAM_FULL, NATS_STORAGE_FULL, STREAM_BUSY, STREAM_MESSAGE_TOO_LARGE.
   */
  append(subject: string, data: Uint8Array, options?: StreamAppendOptions): Promise<StreamAppended>;
  /**
   * See StreamReadEvent. At most about 512 messages wait in memory for a slow reader. Ends when the signal aborts, the iteration is left, or
   * the session closes; throws STREAM_MISSING when the stream goes away or was made anew meanwhile.
   */
  read(options?: StreamReadOptions): AsyncIterable<StreamReadEvent>;
  /** The message at this sequence, from the stream's leader; undefined when there is none. */
  message(sequence: number, options?: StreamCallOptions): Promise<StreamMessage | undefined>;
  /** The last message whose subject matches. */
  lastMessage(filter: string, options?: StreamCallOptions): Promise<StreamMessage | undefined>;
  /** Removes everything up to and including this sequence. Returns how much went. */
  purge(upTo: number, options?: StreamCallOptions): Promise<number>;
  info(options?: StreamCallOptions): Promise<StreamStatus>;
  /** Opens the durable consumer of this name, making it when missing. Limits that differ are changed to these. */
  consumer(name: string, options?: StreamConsumerOptions & StreamCallOptions): Promise<StreamConsumer>;
  /** Removes the durable consumer and its position. Absent is fine. */
  removeConsumer(name: string, options?: StreamCallOptions): Promise<void>;
}

export interface StreamOptions {
  /** What the stream takes; no other stream may take the same. */
  readonly subjects: readonly string[];
  /** Default: 3 where the server is a cluster of three or more, else 1. */
  readonly replicas?: number;
  /** Then appends are refused: STREAM_FULL. Default: no limit. */
  readonly maxBytes?: number;
  /** How long message ids are remembered. Default 2 min; of a stream that is made. */
  readonly duplicateWindowMs?: number;
}
