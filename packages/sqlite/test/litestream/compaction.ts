/** Levels above 0 in a bucket of ours, made with the codec alone: consecutive objects of one level as one of the next. */

import { formatName, segmentName } from '../../src/log/names.ts';
import { encodeLtx } from '../../src/ltx/encoder.ts';
import type { PageEncoding } from '../../src/ltx/header.ts';
import { mergeLtx } from '../../src/ltx/merge.ts';
import type { LitestreamRig } from './rig.ts';

/** Merges the level-0 objects `from` to `to` into one of `level`, and deletes them. */
export async function compact(
  { log, blobs }: LitestreamRig,
  level: number,
  from: number,
  to: number,
  encoding: PageEncoding,
): Promise<void> {
  const files = [];
  for (let txid = from; txid <= to; txid++) {
    const segment = await log.read(txid);
    if (segment === undefined) throw new Error(`transaction ${txid} is not at level 0`);
    files.push(segment.ltx);
  }
  const { header, pages } = mergeLtx(files);
  const headers = { 'Litestream-Timestamp': new Date(header.timestamp).toISOString() };
  const name = formatName({ level, minTxid: from, maxTxid: to });
  await blobs.put(name, encodeLtx(header, pages, encoding), { createOnly: true, headers });
  for (let txid = from; txid <= to; txid++) await blobs.delete(segmentName(txid));
}
