/**
 * Lines of text as bytes and back: UTF-8, each line ended by a line feed. What is written is counted and hashed on the way; what is read is
 * given out in batches, of which the last waits until all is verified.
 */
import { createHash } from 'node:crypto';
import { assert } from '@canopy/core';

const PIECE_BYTES = 256 * 1024;
const BATCH_LINES = 1000;

export interface LineFacts {
  readonly entries: number;
  readonly bytes: number;
  /** Hex. */
  readonly sha256: string;
}

export class LineWriter {
  readonly #hash = createHash('sha256');
  #entries = 0;
  #bytes = 0;

  /** Pieces of about 256 KiB. */
  async *pieces(lines: AsyncIterable<string> | Iterable<string>): AsyncGenerator<Uint8Array> {
    let held: string[] = [];
    let length = 0;
    for await (const line of lines) {
      assert(!line.includes('\n') && line.isWellFormed(), 'a line of a snapshot is one line of Unicode text');
      held.push(line, '\n');
      length += line.length + 1;
      this.#entries += 1;
      if (length < PIECE_BYTES) continue;
      yield this.#piece(held);
      [held, length] = [[], 0];
    }
    if (held.length > 0) yield this.#piece(held);
  }

  /** Of all pieces that were taken. */
  facts(): LineFacts {
    return { entries: this.#entries, bytes: this.#bytes, sha256: this.#hash.copy().digest('hex') };
  }

  #piece(held: readonly string[]): Uint8Array {
    const piece = Buffer.from(held.join(''), 'utf8');
    this.#hash.update(piece);
    this.#bytes += piece.length;
    return piece;
  }
}

/**
 * Batches of lines from pieces of any size. Before the last batch everything is compared with `expected`; `fail` makes the error for what
 * is wrong.
 */
export async function* readLines(
  pieces: AsyncIterable<Uint8Array>,
  expected: LineFacts,
  fail: (problem: string) => Error,
): AsyncGenerator<readonly string[]> {
  const hash = createHash('sha256');
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let bytes = 0;
  let entries = 0;
  let rest = '';
  const held: string[] = [];
  for await (const piece of pieces) {
    hash.update(piece);
    bytes += piece.length;
    if (bytes > expected.bytes) throw fail(`it has more than ${expected.bytes} bytes`);
    const lines = (rest + decoder.decode(piece, { stream: true })).split('\n');
    rest = lines.pop() as string;
    entries += lines.length;
    for (const line of lines) {
      held.push(line);
      if (held.length <= BATCH_LINES) continue;
      yield held.splice(0, BATCH_LINES);
    }
  }
  if (bytes !== expected.bytes) throw fail(`it has ${bytes} bytes instead of ${expected.bytes}`);
  if (hash.digest('hex') !== expected.sha256) throw fail('its bytes are others than were stored (SHA-256)');
  if (rest !== '' || entries !== expected.entries)
    throw fail(`it has ${entries} entries instead of ${expected.entries}`);
  if (held.length > 0) yield held;
}
