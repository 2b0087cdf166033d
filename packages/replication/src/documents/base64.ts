/** Bytes of a document as text in JSON, and back, strictly: text that was damaged is refused rather than half read. */
import type { StateReader } from '../crdt/state-reader.ts';

export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

/** Throws CRDT_STATE_INVALID. */
export function fromBase64(text: unknown, reader: StateReader): Uint8Array {
  const bytes = typeof text === 'string' ? Buffer.from(text, 'base64') : undefined;
  if (bytes === undefined || bytes.length === 0 || bytes.toString('base64') !== text)
    throw reader.invalid('its content is no base64 text');
  return new Uint8Array(bytes);
}
