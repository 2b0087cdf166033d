/** Tokens are secrets of a term: logs show eight hex digits of a hash, enough to tell two apart. */
import { createHash } from 'node:crypto';

/** Eight hex digits that stand for the token in logs. */
export function tokenDigest(token: string): string {
  return createHash('sha256').update(token).digest('hex').slice(0, 8);
}
