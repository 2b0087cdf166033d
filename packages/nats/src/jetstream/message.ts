/**
 * The forms in which the server hands out a stored message: as JSON from the stream's leader, with `Nats-` headers from
 * a direct get, and pushed by a consumer, where the reply subject carries the numbers. Pure. Wire formats of NATS: fixed.
 */
export interface StoredMessage {
  readonly subject: string;
  readonly seq: number;
  readonly data: Uint8Array;
  header(name: string): string | undefined;
  /** Unix ms of the server at the write. */
  readonly writtenAt: number;
}

/** The `message` of a STREAM.MSG.GET answer. */
export interface StoredMessageJson {
  readonly subject: string;
  readonly seq: number;
  readonly hdrs?: string;
  readonly data?: string;
  readonly time: string;
}

export function decodeStored(json: StoredMessageJson): StoredMessage {
  const block = json.hdrs === undefined ? '' : Buffer.from(json.hdrs, 'base64').toString('utf8');
  return {
    subject: json.subject,
    seq: json.seq,
    data: json.data === undefined ? new Uint8Array(0) : new Uint8Array(Buffer.from(json.data, 'base64')),
    header: (name) => headerOf(block, name),
    writtenAt: Date.parse(json.time),
  };
}

function headerOf(block: string, name: string): string | undefined {
  for (const line of block.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0 && line.slice(0, colon).toLowerCase() === name.toLowerCase()) return line.slice(colon + 1).trim();
  }
  return undefined;
}

/** The numbers in the reply subject of a pushed message. */
export interface Delivery {
  readonly streamSeq: number;
  /** Counts this consumer's deliveries from 1; a jump means that one was lost on the way. */
  readonly consumerSeq: number;
  /** How often this message was delivered, with this time. */
  readonly delivered: number;
  readonly writtenAt: number;
  /** Messages that are left for this consumer after this one. */
  readonly pending: number;
}

/** `$JS.ACK.stream.consumer.times.sseq.cseq.ns.pending`, on newer servers with domain and account before the stream. */
export function parseDelivery(reply: string | undefined): Delivery | undefined {
  const tokens = reply?.split('.') ?? [];
  if (tokens[0] !== '$JS' || tokens[1] !== 'ACK') return undefined;
  const at = tokens.length >= 11 ? 7 : 5;
  const [streamSeq, consumerSeq, , pending] = tokens.slice(at, at + 4).map(Number);
  if (streamSeq === undefined || consumerSeq === undefined || pending === undefined) return undefined;
  // Nanoseconds since 1970 are no exact number: cut off, so that it is the very ms that a read gives.
  const writtenAt = Number(tokens[at + 2]?.slice(0, -6));
  const delivered = Number(tokens[at - 1]);
  return { streamSeq, consumerSeq, delivered, writtenAt, pending };
}
