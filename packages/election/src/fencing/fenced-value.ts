/**
 * A value together with the epoch that wrote it, as bytes: `{"epoch":7}`, a line feed, the value. Files and keys written
 * by earlier versions are read by later ones: do not change.
 */
export interface FencedValue {
  /** 0: never written under an epoch. */
  readonly epoch: number;
  readonly value: Uint8Array;
}

const LINE_FEED = 10;
/** Longer than any head we write. */
const HEAD_MAX = 64;

export function encodeFenced({ epoch, value }: FencedValue): Uint8Array {
  const head = new TextEncoder().encode(`{"epoch":${epoch}}\n`);
  const bytes = new Uint8Array(head.length + value.length);
  bytes.set(head);
  bytes.set(value, head.length);
  return bytes;
}

/** Bytes without such a head are a value that nobody has fenced yet. */
export function decodeFenced(bytes: Uint8Array): FencedValue {
  const end = bytes.subarray(0, HEAD_MAX).indexOf(LINE_FEED);
  const match = /^\{"epoch":(\d{1,15})\}$/.exec(new TextDecoder().decode(bytes.subarray(0, Math.max(0, end))));
  if (match === null) return { epoch: 0, value: bytes };
  return { epoch: Number(match[1]), value: bytes.subarray(end + 1) };
}
