/**
 * Question and answer as they travel. What does not read as one is undefined here and told by nobody: it was not meant for us. Other
 * versions read these: do not change what a field means.
 */
import { CanopyError, messageOf } from '@canopy/core';

export const ADMIN_VERSION = 1;
/** Of a question or an answer; below the server's limit for a message (1 MiB by default). */
export const MESSAGE_BYTES_MAX = 512 * 1024;

export type AdminOp = 'status' | 'conflicts' | 'resolve' | 'hot' | 'clock' | 'recover' | 'recovery' | 'add' | 'remove';

export interface Question {
  readonly v: number;
  /** Names the asking, and the subject of answers to everybody. */
  readonly id: string;
  readonly op: string;
  readonly [field: string]: unknown;
}

interface AnswerHead {
  readonly v: number;
  readonly id: string;
  readonly node: string;
  /** Of this life of the responder: two under one name can be told apart. */
  readonly instance: string;
  readonly kind: string;
  /** Nodes that this one believes to take part. */
  readonly knows: readonly string[];
}

export type Answer =
  | (AnswerHead & { readonly ok: true; readonly result: unknown })
  | (AnswerHead & { readonly ok: false; readonly error: CanopyError });

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function encodeMessage(message: Question | Answer): Uint8Array {
  return encoder.encode(JSON.stringify(message));
}

/** Undefined for what is no question. */
export function decodeQuestion(bytes: Uint8Array): Question | undefined {
  const fields = parse(bytes);
  const isQuestion =
    fields !== undefined &&
    typeof fields.v === 'number' &&
    typeof fields.id === 'string' &&
    // It becomes a part of a subject.
    /^[-\w]{1,64}$/.test(fields.id) &&
    typeof fields.op === 'string';
  return isQuestion ? (fields as Question) : undefined;
}

/** Undefined for what is no answer to this asking. */
export function decodeAnswer(bytes: Uint8Array, id: string): Answer | undefined {
  const fields = parse(bytes);
  if (fields?.id !== id || typeof fields.node !== 'string' || typeof fields.v !== 'number') return undefined;
  const head: AnswerHead = {
    v: fields.v,
    id,
    node: fields.node,
    instance: String(fields.instance ?? ''),
    kind: String(fields.kind ?? ''),
    knows: Array.isArray(fields.knows) ? fields.knows.filter((one) => typeof one === 'string') : [],
  };
  if (fields.ok === true) return { ...head, ok: true, result: fields.result };
  const error = fields.error as Partial<Parameters<typeof CanopyError.fromJSON>[0]> | null | undefined;
  if (fields.ok !== false || typeof error?.code !== 'string' || typeof error.message !== 'string') return undefined;
  const { code, message } = error;
  return { ...head, ok: false, error: CanopyError.fromJSON({ ...error, code, message }) };
}

/** As the one error shape that travels. */
export function errorOf(error: unknown): CanopyError {
  return CanopyError.is(error) ? error : new CanopyError('UNEXPECTED', messageOf(error));
}

function parse(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  if (bytes.length > MESSAGE_BYTES_MAX) return undefined;
  try {
    const json: unknown = JSON.parse(decoder.decode(bytes));
    return typeof json === 'object' && json !== null ? (json as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
