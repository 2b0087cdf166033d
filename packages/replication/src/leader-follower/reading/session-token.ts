/**
 * What a session has seen, as opaque text that travels between processes: the namespace, the log, the epoch and a sequence. Whoever has
 * applied that sequence of that log shows at least as much. Not signed: a client that forges one deceives itself.
 */
import { replicationErrors } from '../../errors.ts';

export interface SessionPosition {
  readonly namespace: string;
  /** When the log was made, Unix ms; 0 on a plain pipeline. */
  readonly logId: number;
  readonly epoch: number;
  readonly sequence: number;
}

const PREFIX = 'rs1.';
const LENGTH_MAX = 4096;

export function formatSessionToken({ namespace, logId, epoch, sequence }: SessionPosition): string {
  return PREFIX + Buffer.from(JSON.stringify([namespace, logId, epoch, sequence])).toString('base64url');
}

/** Throws SESSION_TOKEN_INVALID. */
export function parseSessionToken(token: unknown): SessionPosition {
  const [namespace, logId, epoch, sequence] = partsOf(token);
  const isNumber = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
  if (typeof namespace !== 'string' || !isNumber(logId) || !isNumber(epoch) || !isNumber(sequence))
    throw replicationErrors.create('SESSION_TOKEN_INVALID');
  return { namespace, logId, epoch, sequence };
}

function partsOf(token: unknown): readonly unknown[] {
  if (typeof token !== 'string' || !token.startsWith(PREFIX) || token.length > LENGTH_MAX) return [];
  try {
    const parts: unknown = JSON.parse(Buffer.from(token.slice(PREFIX.length), 'base64url').toString());
    return Array.isArray(parts) && parts.length === 4 ? parts : [];
  } catch {
    return [];
  }
}

/** Throws SESSION_TOKEN_FOREIGN when the positions are of different logs. */
export function requireSameLog(token: SessionPosition, here: SessionPosition): void {
  if (token.namespace === here.namespace && token.logId === here.logId) return;
  const name = ({ namespace, logId }: SessionPosition): string => (logId === 0 ? namespace : `${namespace}@${logId}`);
  throw replicationErrors.create('SESSION_TOKEN_FOREIGN', { of: name(token), here: name(here) });
}
