/** When a restore was last proven, as the log's bucket says it: one object without contents. A persisted format. */
import { type Epoch, epoch, formatTxid, type Position } from '@canopy/core';
import type { BlobInfo, Blobs } from '@canopy/nats';

export const VERIFIED = 'canopy/verified';

export interface Verified {
  readonly position: Position;
  /** Unix ms by the verifier's clock. */
  readonly at: number;
  readonly node: string;
  readonly method: string;
  /** How long restore and check took. */
  readonly ms: number;
  /** Of the restored database. */
  readonly bytes: number;
}

export async function writeVerified(blobs: Blobs, verified: Verified, signal?: AbortSignal): Promise<void> {
  const headers = {
    'Canopy-Txid': formatTxid(verified.position.txid),
    'Canopy-Epoch': String(verified.position.epoch),
    'Canopy-At': String(verified.at),
    'Canopy-Node': verified.node,
    'Canopy-Method': verified.method,
    'Canopy-Ms': String(Math.round(verified.ms)),
    'Canopy-Bytes': String(verified.bytes),
  };
  await blobs.put(VERIFIED, new Uint8Array(0), { headers, signal });
}

/** Undefined when no restore was ever proven, or the record is damaged. */
export async function readVerified(blobs: Blobs, signal?: AbortSignal): Promise<Verified | undefined> {
  const info = await blobs.info(VERIFIED, { signal });
  return info === undefined ? undefined : verifiedOf(info);
}

export function verifiedOf({ headers }: BlobInfo): Verified | undefined {
  const txid = Number.parseInt(headers['Canopy-Txid'] ?? '', 16);
  const at = Number(headers['Canopy-At']);
  if (!Number.isSafeInteger(txid) || !(at > 0)) return undefined;
  const held: Epoch = epoch(Number(headers['Canopy-Epoch']) || 0);
  return {
    position: { epoch: held, txid },
    at,
    node: headers['Canopy-Node'] ?? '',
    method: headers['Canopy-Method'] ?? '',
    ms: Number(headers['Canopy-Ms']) || 0,
    bytes: Number(headers['Canopy-Bytes']) || 0,
  };
}
