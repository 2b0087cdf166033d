/**
 * A place in a database's history: the epoch of the primary that wrote it and the log's transaction number.
 * Text form `epoch.txid`, the txid as 16 hex digits as in LTX file names, so positions of one epoch sort as text.
 */
import { assert } from '../errors/errors.ts';
import { type Epoch, epoch } from './epoch.ts';

export interface Position {
  readonly epoch: Epoch;
  /** Number of the last log entry contained; 0 = before the first. */
  readonly txid: number;
}

export const START: Position = { epoch: epoch(0), txid: 0 };

export function formatTxid(txid: number): string {
  assert(Number.isSafeInteger(txid) && txid >= 0, `txid must be a whole number >= 0, got ${txid}`);
  return txid.toString(16).padStart(16, '0');
}

export function parseTxid(text: string): number | undefined {
  if (!/^[0-9a-f]{16}$/.test(text)) return undefined;
  const value = Number.parseInt(text, 16);
  return Number.isSafeInteger(value) ? value : undefined;
}

export function formatPosition(position: Position): string {
  return `${position.epoch}.${formatTxid(position.txid)}`;
}

export function parsePosition(text: string): Position | undefined {
  const dot = text.indexOf('.');
  const txid = parseTxid(text.slice(dot + 1));
  const value = Number(text.slice(0, dot));
  if (dot < 1 || txid === undefined || !Number.isSafeInteger(value) || value < 0) return undefined;
  return { epoch: epoch(value), txid };
}

/** Negative, zero or positive. Within one chain the txid decides; the epoch never contradicts it. */
export function comparePositions(a: Position, b: Position): number {
  return a.txid - b.txid || a.epoch - b.epoch;
}
