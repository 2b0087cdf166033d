/**
 * Where a holder is asked to give its lease up, and the form of question and answer. Other programs ask here, too: do
 * not change.
 */
import { CanopyError } from '@canopy/core';

/**
 * `canopy.election.<bucket>.<id>.<group>`: one subject per candidate, the instance id in base64url since it may hold
 * what a subject may not; the group last, since it may have dots.
 */
export function controlSubject(bucket: string, group: string, instanceId: string): string {
  return `canopy.election.${bucket}.${Buffer.from(instanceId).toString('base64url')}.${group}`;
}

export interface StepDownQuestion {
  readonly op: 'step_down';
  /** Refused when another term is led by then. */
  readonly epoch?: number;
  /** Who should take over. */
  readonly to?: string;
}

export type StepDownAnswer =
  | { readonly ok: true; readonly epoch: number; readonly ms: number }
  | { readonly ok: false; readonly error: CanopyError };

const encoder = new TextEncoder();
const decoder = new TextDecoder();
/** Ids and epochs are short; anything larger is not for us. */
const MAX_BYTES = 4096;

export function encodeControl(message: StepDownQuestion | StepDownAnswer): Uint8Array {
  return encoder.encode(JSON.stringify(message));
}

/** Undefined for what is not a question. */
export function decodeQuestion(bytes: Uint8Array): StepDownQuestion | undefined {
  const fields = parse(bytes);
  if (fields?.op !== 'step_down') return undefined;
  const { epoch, to } = fields;
  return {
    op: 'step_down',
    ...(Number.isSafeInteger(epoch) ? { epoch: epoch as number } : {}),
    ...(typeof to === 'string' && to !== '' ? { to } : {}),
  };
}

/** Undefined for what is not an answer. */
export function decodeAnswer(bytes: Uint8Array): StepDownAnswer | undefined {
  const fields = parse(bytes);
  if (fields === undefined) return undefined;
  const { ok, epoch, ms, error } = fields;
  if (ok === true && typeof epoch === 'number' && typeof ms === 'number') return { ok, epoch, ms };
  if (ok !== false || typeof error !== 'object' || error === null) return undefined;
  const { code, message, ...rest } = error as Parameters<typeof CanopyError.fromJSON>[0];
  if (typeof code !== 'string' || typeof message !== 'string') return undefined;
  return { ok, error: CanopyError.fromJSON({ ...rest, code, message }) };
}

function parse(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  if (bytes.length > MAX_BYTES) return undefined;
  try {
    const json: unknown = JSON.parse(decoder.decode(bytes));
    return typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
