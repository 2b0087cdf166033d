/**
 * What a reader of bytes from elsewhere must keep to, as checks that a fuzz test runs on any decoder: it fails with
 * SQLITE_LTX_INVALID or gives the very pages that were written, asks for no more memory than the input justifies, and
 * comes to an end within a number of steps that the input bounds.
 */
import { hasCode } from '@canopy/core';
import type { LtxHeader, LtxPage } from '../../src/ltx/header.ts';

export interface Contents {
  readonly header: LtxHeader;
  readonly pages: readonly LtxPage[];
}

/** 64 KiB of zeros are about 260 bytes as LZ4, so a byte of input may become 255, and is buffered once more. */
const GROWTH_MAX = 520;
const BASE_BYTES = 1024 * 1024;

export type Verdict = 'refused' | 'accepted' | { readonly violation: string };

/** Runs the decoder on the input; `original`: what it may give, if it gives anything. */
export function judge(
  decode: (bytes: Uint8Array) => Contents,
  input: Uint8Array,
  original: Contents | undefined,
): Verdict {
  const allowed = BASE_BYTES + GROWTH_MAX * input.length;
  let contents: Contents | undefined;
  let failure: unknown;
  const asked = countAllocated(() => {
    try {
      contents = decode(input);
    } catch (error) {
      failure = error;
    }
  });
  if (asked > allowed) return { violation: `${asked} bytes asked for with an input of ${input.length}` };
  return verdictOf(contents, failure, original);
}

export function verdictOf(contents: Contents | undefined, failure: unknown, original: Contents | undefined): Verdict {
  if (contents === undefined)
    return hasCode(failure, 'SQLITE_LTX_INVALID') ? 'refused' : { violation: `it threw ${String(failure)}` };
  if (original !== undefined && !sameContents(contents, original)) return { violation: 'it gave other pages' };
  return 'accepted';
}

function sameContents(a: Contents, b: Contents): boolean {
  if (JSON.stringify(a.header) !== JSON.stringify(b.header) || a.pages.length !== b.pages.length) return false;
  return a.pages.every(({ pgno, data }, i) => {
    const other = b.pages[i] as LtxPage;
    return other.pgno === pgno && Buffer.compare(other.data, data) === 0;
  });
}

/** The bytes that `work` asks for in typed arrays by their length. */
export function countAllocated(work: () => void): number {
  const real = globalThis.Uint8Array;
  let asked = 0;
  globalThis.Uint8Array = new Proxy(real, {
    construct(target, args, newTarget) {
      if (typeof args[0] === 'number') asked += args[0];
      // The length that is asked for is what counts; an absurd one must not take this process down.
      if (args[0] > 0x1000_0000) throw new RangeError(`an array of ${args[0]} bytes`);
      return Reflect.construct(target, args, newTarget === globalThis.Uint8Array ? target : newTarget) as object;
    },
  });
  try {
    work();
  } finally {
    globalThis.Uint8Array = real;
  }
  return asked;
}

/** Numbers that parsers trip over. */
const WORDS = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 0xffff, 0x10000, 0x0100_0000];

/** One to six random changes of any kind: bits, bytes, words, cuts, insertions, repetitions. */
export function mutate(bytes: Uint8Array, random: { int(below: number): number }): Uint8Array {
  let out = Buffer.from(bytes);
  for (let i = 1 + random.int(6); i > 0 && out.length > 8; i--) {
    const at = random.int(out.length);
    const other = random.int(out.length);
    const [from, to] = at < other ? [at, other] : [other, at];
    switch (random.int(7)) {
      case 0:
        out[at] = (out[at] as number) ^ (1 << random.int(8));
        break;
      case 1:
        out[at] = random.int(256);
        break;
      case 2:
        out.writeUInt32BE(WORDS[random.int(WORDS.length)] as number, random.int(out.length - 4));
        break;
      case 3:
        out.fill(random.int(2) * 255, from, Math.min(to, from + 40));
        break;
      case 4:
        out = Buffer.concat([out.subarray(0, from), out.subarray(Math.min(to, from + 1 + random.int(30)))]);
        break;
      case 5:
        out = Buffer.concat([out.subarray(0, to), out.subarray(from, Math.min(to, from + 300)), out.subarray(to)]);
        break;
      default:
        out = out.subarray(0, at);
    }
  }
  return new Uint8Array(out);
}
