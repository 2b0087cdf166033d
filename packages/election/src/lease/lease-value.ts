/**
 * The value under a group's key, and its wire form: a JSON object that every peer on the bucket reads. `id` and `token`
 * are required, `priority` is absent when 0, and everything else is optional to a reader; unknown fields are ignored.
 * Wire names must not change: programs written against other implementations share the bucket.
 */

export interface LeaseValue {
  /** The holder's instance id. */
  readonly id: string;
  /** Random per acquisition; two values with one token belong to one term. */
  readonly token: string;
  /** 0 = none. */
  readonly priority: number;
  /** Not to be preempted, whatever the priorities. */
  readonly firm?: boolean;
  /** The term's epoch; known from the first renewal on. */
  readonly epoch?: number;
  /** In an acquiring write whose revision may lie below it: the highest epoch known to the writer. */
  readonly floor?: number;
  /** The holder's lease length; a candidate waits for the longer of this and its own. */
  readonly ttlMs?: number;
  /** The holder has given the lease up with this write. */
  readonly released?: boolean;
  /** With `released`: who should take it; the others hold off for a moment. */
  readonly next?: string;
  /** The holder may go on past its lease by failsafe: who is not among these waits longer. */
  readonly failsafe?: FailsafeClause;
}

/** What a value says about failsafe (DESIGN.md, "Failsafe"). */
export interface FailsafeClause {
  /** Whoever is not among the peers waits this long, on its own clock, from when it first saw the revision. */
  readonly limitMs: number;
  /** Run ids of the candidates whose promises the holder needs, its own among them. */
  readonly peers: readonly string[];
}

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });
/** Nothing we write comes near it; a larger value is somebody else's and is not parsed. */
const MAX_BYTES = 16 * 1024;
/**
 * Epochs are revisions, or one above the last where a bucket began anew: nothing that counts, be it from the wall clock in
 * steps of 10 microseconds, gets near it.
 */
export const EPOCH_MAX = 2 ** 52;
/** What an operator may set as the floor leaves room for all the terms that follow. */
export const EPOCH_FLOOR_MAX = 2 ** 50;
/** More than any holder lists. */
const PEERS_MAX = 256;

/** The bytes for the bucket; absent and zero fields are left out. */
export function encodeLease(value: LeaseValue): Uint8Array {
  return encoder.encode(
    JSON.stringify({
      id: value.id,
      token: value.token,
      priority: value.priority === 0 ? undefined : value.priority,
      firm: value.firm ? true : undefined,
      epoch: value.epoch,
      floor: value.floor,
      ttl: value.ttlMs,
      released: value.released ? true : undefined,
      next: value.next,
      failsafe:
        value.failsafe === undefined ? undefined : { limit: value.failsafe.limitMs, peers: value.failsafe.peers },
    }),
  );
}

/**
 * The value, or undefined when the bytes are not a lease (bad JSON, no id, no token, an epoch that nothing could follow).
 * Odd optional fields are dropped.
 */
export function decodeLease(bytes: Uint8Array): LeaseValue | undefined {
  if (bytes.length === 0 || bytes.length > MAX_BYTES) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(decoder.decode(bytes));
  } catch {
    return undefined;
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return undefined;
  const fields = json as Readonly<Record<string, unknown>>;
  const { id, token } = fields;
  if (typeof id !== 'string' || id === '' || typeof token !== 'string' || token === '') return undefined;
  const epoch = whole(fields.epoch);
  const floor = whole(fields.floor);
  if (isExcessive(fields.epoch) || isExcessive(fields.floor)) return undefined;
  const ttlMs = duration(fields.ttl);
  const next = fields.next;
  const failsafe = clause(fields.failsafe);
  return {
    id,
    token,
    priority: level(fields.priority),
    ...(fields.firm === true ? { firm: true } : {}),
    ...(epoch === undefined ? {} : { epoch }),
    ...(floor === undefined ? {} : { floor }),
    ...(ttlMs === undefined ? {} : { ttlMs }),
    ...(fields.released === true ? { released: true } : {}),
    ...(typeof next === 'string' && next !== '' ? { next } : {}),
    ...(failsafe === undefined ? {} : { failsafe }),
  };
}

/** The epoch of the term that wrote `value` at `revision`. Exact from the first renewal on, and for an acquiring write. */
export function epochOf(value: LeaseValue, revision: number): number {
  return value.epoch ?? Math.max(revision, (value.floor ?? -1) + 1);
}

/** Other languages have integers beyond a double's: the highest of all must not be read as none. */
function level(value: unknown): number {
  if (!Number.isInteger(value)) return 0;
  return Math.max(Number.MIN_SAFE_INTEGER, Math.min(value as number, Number.MAX_SAFE_INTEGER));
}

/** Taken for true it would be the floor of all later terms, and the order would end where integers do. */
function isExcessive(value: unknown): boolean {
  return typeof value === 'number' && value > EPOCH_MAX;
}

function whole(value: unknown): number | undefined {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : undefined;
}

/** Peers that can't be read are nobody: then everybody waits the longer time. */
function clause(value: unknown): FailsafeClause | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { limit, peers } = value as Readonly<Record<string, unknown>>;
  const limitMs = duration(limit);
  if (limitMs === undefined) return undefined;
  const fine = Array.isArray(peers) && peers.length <= PEERS_MAX && peers.every((peer) => typeof peer === 'string');
  return { limitMs, peers: fine ? (peers as readonly string[]) : [] };
}

/** A day at most: a mistaken value must not keep a group without a leader for ever. */
function duration(value: unknown): number | undefined {
  return typeof value === 'number' && value > 0 && value <= 86_400_000 ? value : undefined;
}
