/**
 * A small fast generator that repeats exactly from its seed, for simulation and tests; never for secrets.
 * Algorithm: sfc32 (PractRand's small fast counting generator, 32-bit words).
 */
import type { Random } from './random.ts';

export function seededRandom(seed: number | string): Random {
  const words = seedWords(String(seed));
  let [a, b, c, d] = words;
  const next32 = (): number => {
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return t >>> 0;
  };
  for (let i = 0; i < 12; i++) next32();
  const random: Random = {
    next: () => next32() / 4294967296,
    int: (bound) => Math.floor((next32() / 4294967296) * bound),
    uuid: () => {
      const hex = Array.from({ length: 4 }, () => next32().toString(16).padStart(8, '0')).join('');
      const variant = ((Number.parseInt(hex[16] as string, 16) & 3) | 8).toString(16);
      return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20)}`;
    },
  };
  return random;
}

/** FNV-1a over the text from four different offsets. */
function seedWords(text: string): [number, number, number, number] {
  const word = (offset: number): number => {
    let hash = offset | 0;
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 16777619);
    return hash;
  };
  return [word(0x811c9dc5), word(0x01234567), word(0x89abcdef), word(0x2545f491)];
}
