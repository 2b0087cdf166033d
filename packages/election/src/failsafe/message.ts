/**
 * What candidates of a group say to each other over the bus, and its wire form: small JSON objects. A message may be lost,
 * late, repeated or out of order; nothing here is safer for arriving. What can't be read is ignored.
 */

/** From a holder to all candidates: who is there, and, with `promiseMs` above 0, will you keep away that long? */
export interface FailsafeCall {
  readonly type: 'call';
  /** The caller's run. */
  readonly run: string;
  readonly id: string;
  /** Never used twice by a run. */
  readonly round: number;
  /** The caller's term: who knows of a later one promises nothing. */
  readonly epoch: number;
  readonly promiseMs: number;
}

/** From a candidate to the caller. */
export interface FailsafeAnswer {
  readonly type: 'answer';
  /** The caller's run. */
  readonly to: string;
  readonly run: string;
  readonly id: string;
  readonly round: number;
  /** No term of this run begins within `promiseMs` of its hearing the call. */
  readonly promised: boolean;
}

export type FailsafeMessage = FailsafeCall | FailsafeAnswer;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });
const MAX_BYTES = 4096;

export function encodeMessage(message: FailsafeMessage): Uint8Array {
  return encoder.encode(JSON.stringify(message));
}

/** The message, or undefined when the bytes are none. */
export function decodeMessage(bytes: Uint8Array): FailsafeMessage | undefined {
  if (bytes.length > MAX_BYTES) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(decoder.decode(bytes));
  } catch {
    return undefined;
  }
  if (typeof json !== 'object' || json === null) return undefined;
  const { type, run, id, round, epoch, promiseMs, to, promised } = json as Readonly<Record<string, unknown>>;
  if (!isName(run) || !isName(id) || !Number.isSafeInteger(round)) return undefined;
  const head = { run, id, round: round as number };
  if (type === 'call' && Number.isSafeInteger(epoch) && typeof promiseMs === 'number' && promiseMs >= 0)
    return { type, ...head, epoch: epoch as number, promiseMs };
  if (type === 'answer' && isName(to) && typeof promised === 'boolean') return { type, ...head, to, promised };
  return undefined;
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

/** `canopy.failsafe.call.<bucket>.<group>`: heard by every candidate of the group. The group last: it may have dots. */
export function callSubject(bucket: string, group: string): string {
  return `canopy.failsafe.call.${bucket}.${group}`;
}

/** `canopy.failsafe.answer.<run>`: heard by the caller alone. */
export function answerSubject(run: string): string {
  return `canopy.failsafe.answer.${run}`;
}
