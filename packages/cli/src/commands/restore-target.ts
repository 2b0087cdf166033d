/** To which point of a log one wants to go back, as it is written on the command line. */
import { parsePosition, parseTxid } from '@canopy/core';
import type { RestoreTarget } from '@canopy/sqlite';
import { cliErrors } from '../errors.ts';

/** Throws USAGE, naming `command`. Undefined: the log's end. */
export function restoreTarget(
  { txid, time }: { readonly txid?: string | undefined; readonly time?: string | undefined },
  command: string,
): RestoreTarget | undefined {
  const usage = (problem: string): Error => cliErrors.create('USAGE', { command: `npx canopy ${command}`, problem });
  if (txid !== undefined && time !== undefined) throw usage('give --txid or --time, not both');
  if (txid !== undefined) {
    const position = parsePosition(txid);
    const number = /^\d{1,15}$/.test(txid) ? Number(txid) : (position?.txid ?? parseTxid(txid));
    if (number === undefined || number < 1)
      throw usage(`"${txid}" is no transaction: write its number, 16 hex digits, or a position (EPOCH.TXID)`);
    // Epoch 0 is no epoch: another program wrote that.
    return position === undefined || position.epoch === 0 ? { txid: number } : { txid: number, epoch: position.epoch };
  }
  if (time === undefined) return undefined;
  const timestamp = momentOf(time);
  if (Number.isNaN(timestamp))
    throw usage(`"${time}" is no time: write it like 2026-11-21T03:00:00Z (UTC), or with +01:00 for another zone`);
  return { timestamp };
}

const MOMENT = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?) ?(?:(Z)|([+-]\d{2}):?(\d{2}))?)?$/i;

/** Unix ms, or NaN. Without a zone it is UTC: what is restored must not depend on the machine where that is done. */
function momentOf(text: string): number {
  const match = MOMENT.exec(text.trim());
  if (match === null) return Number.NaN;
  const [, date = '', clock = '00:00', , hours, minutes] = match;
  if (!isDay(date)) return Number.NaN;
  return Date.parse(`${date}T${clock}${hours === undefined ? 'Z' : `${hours}:${minutes}`}`);
}

/** 31 February would be taken for 3 March. */
function isDay(date: string): boolean {
  const midnight = Date.parse(`${date}T00:00:00Z`);
  return !Number.isNaN(midnight) && new Date(midnight).toISOString().startsWith(date);
}
