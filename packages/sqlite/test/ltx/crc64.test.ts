import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Crc64 } from '../../src/ltx/crc64.ts';

const hex = (crc: Crc64): string => crc.hi.toString(16).padStart(8, '0') + crc.lo.toString(16).padStart(8, '0');

/** The definition, bit by bit. */
function slow(bytes: Uint8Array): string {
  let crc = 0xffff_ffff_ffff_ffffn;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = crc & 1n ? (crc >> 1n) ^ 0xd800_0000_0000_0000n : crc >> 1n;
  }
  return (crc ^ 0xffff_ffff_ffff_ffffn).toString(16).padStart(16, '0');
}

function pageChecksum(pgno: number, page: Uint8Array): bigint {
  const prefix = new Uint8Array(4);
  new DataView(prefix.buffer).setUint32(0, pgno);
  return BigInt(`0x${hex(new Crc64().update(prefix).update(page))}`) | (1n << 63n);
}

describe('Crc64', () => {
  test('has the check value of CRC-64/GO-ISO', () => {
    expect(hex(new Crc64().update(new TextEncoder().encode('123456789')))).toBe('b90956c775a41001');
  });

  test('agrees with the known page and database checksums', () => {
    expect(pageChecksum(1, new Uint8Array(512).fill(0x31)).toString(16)).toBe('eb1a999231044ddd');
    const database = (...fill: number[]): string => {
      const xor = fill.reduce((sum, value, i) => sum ^ pageChecksum(i + 1, new Uint8Array(512).fill(value)), 0n);
      return (xor | (1n << 63n)).toString(16);
    };
    expect(database(1, 2, 3)).toBe('efffffffecd99000');
  });

  test('equals the bitwise definition whatever the cuts', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 }), (pieces) => {
        const crc = new Crc64();
        for (const piece of pieces) crc.update(piece);
        expect(hex(crc)).toBe(slow(Buffer.concat(pieces)));
      }),
    );
  });
});
