/** What is passed to a database's calls, checked before it travels to another process. Throw OPTIONS_INVALID. Pure. */
import { optionsInvalid } from '@canopy/core';

/** Options of a call: a record, and its signal one. */
export function requireCallOptions(call: string, options: unknown): void {
  if (typeof options !== 'object' || options === null)
    throw optionsInvalid(call, [{ field: 'options', problem: 'must be an object' }]);
  const { signal } = options as { signal?: unknown };
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw optionsInvalid(call, [{ field: 'signal', problem: 'must be an AbortSignal' }]);
}

export function requirePosition(call: string, position: unknown): void {
  const { epoch, txid } = (position ?? {}) as { epoch?: unknown; txid?: unknown };
  if (isCount(epoch) && isCount(txid)) return;
  const problem = 'must be a position, such as sync() gives: {epoch, txid}, both whole numbers';
  throw optionsInvalid(call, [{ field: 'position', problem }]);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
