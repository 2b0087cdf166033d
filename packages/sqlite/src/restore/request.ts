/** A restore that is asked of an open database: what may be asked, checked before anything is done. Pure. */
import { isAbsolute } from 'node:path';
import { type AdminRequest, optionsInvalid } from '@canopy/core';

/** What to restore: a named snapshot, or the log at a transaction, at a moment, or at its end. */
export interface RestoreOrder {
  readonly id?: string | undefined;
  readonly txid?: number | undefined;
  /** Of the transaction, when known: another history's is refused. */
  readonly epoch?: number | undefined;
  /** Unix ms; the last state written strictly before it. */
  readonly timestamp?: number | undefined;
  /** Absolute path on this node. */
  readonly dest: string;
  readonly overwrite: boolean;
  readonly check: 'none' | 'quick' | 'full';
}

/** What is told while it runs. Compressed bytes. */
export interface RestoreReport {
  readonly doneBytes: number;
  readonly totalBytes: number;
  /** Unknown in the first moments. */
  readonly bytesPerSecond?: number | undefined;
  readonly leftMs?: number | undefined;
}

/** Throws OPTIONS_INVALID naming each field that is wrong. */
export function readRestoreOrder(request: AdminRequest): RestoreOrder {
  const { id, txid, epoch, timestamp, dest, overwrite = false, check = 'full' } = request;
  const wrong: { field: string; problem: string }[] = [];
  const require = (holds: boolean, field: string, problem: string): void => {
    if (!holds) wrong.push({ field, problem });
  };
  const isNumber = (value: unknown): boolean =>
    value === undefined || (Number.isSafeInteger(value) && Number(value) >= 0);
  const given = [id, txid, timestamp].filter((one) => one !== undefined).length;
  require(given <= 1, 'target', 'is one of id, position and timestamp');
  require(id === undefined || typeof id === 'string', 'id', 'must be a text');
  require(isNumber(txid) && txid !== 0, 'txid', 'must be a transaction, a whole number from 1');
  require(isNumber(epoch), 'epoch', 'must be a whole number');
  require(isNumber(timestamp), 'timestamp', 'must be a time in Unix ms');
  require(typeof dest === 'string' && isAbsolute(dest), 'dest', 'must be an absolute path');
  require(typeof overwrite === 'boolean', 'overwrite', 'must be true or false');
  require(['none', 'quick', 'full'].includes(check as string), 'check', 'must be none, quick or full');
  if (wrong.length > 0) throw optionsInvalid('restore', wrong);
  return { id, txid, epoch, timestamp, dest, overwrite, check } as RestoreOrder;
}
