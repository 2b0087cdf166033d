/**
 * Subjects and messages by which standbys tell a primary how far they are. They travel over NATS core: at most once,
 * nothing kept. Part of the protocol between versions: only add fields.
 */
import { formatPosition, type Position, parsePosition } from '@canopy/core';

/** Of one log. `createdAt` (ms, of its bucket) tells it from another of the same name, as across a leaf node or once made anew. */
export interface LogIdentity {
  readonly bucket: string;
  readonly createdAt: number;
}

export interface AppliedReport extends LogIdentity {
  readonly node: string;
  /** Path of its file: one node may have several copies. Absent from those of earlier versions. */
  readonly copy?: string | undefined;
  readonly position: Position;
}

/** Standbys publish an AppliedReport here: one per batch applied, and one when asked. */
export function reportSubject(bucket: string): string {
  return `canopy.applied.${bucket}.report`;
}

/** A primary publishes an empty message here: who follows the log tells where it is. */
export function askSubject(bucket: string): string {
  return `canopy.applied.${bucket}.ask`;
}

export function encodeReport(report: AppliedReport): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ ...report, position: formatPosition(report.position) }));
}

/** Undefined for anything that is not a complete report. */
export function decodeReport(bytes: Uint8Array): AppliedReport | undefined {
  let data: Record<string, unknown> | null;
  try {
    data = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown> | null;
  } catch {
    return undefined;
  }
  if (data === null || typeof data !== 'object') return undefined;
  const { node, copy, bucket, createdAt } = data;
  const position = parsePosition(String(data.position));
  if (typeof node !== 'string' || node === '' || position === undefined) return undefined;
  if (typeof bucket !== 'string' || typeof createdAt !== 'number') return undefined;
  return { node, bucket, createdAt, position, ...(typeof copy === 'string' && { copy }) };
}
