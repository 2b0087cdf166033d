import { randomUUID } from 'node:crypto';
import { readdirSync, unlinkSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { MemoryNats } from '@canopy/nats/memory';
import { temporaryDirectory } from '@canopy/testkit';
import { describe, expect, it, onTestFinished } from 'vitest';
import { decodeFenced, encodeFenced } from '../../src/fencing/fenced-value.ts';
import { FencedFile, FencedKey, guard } from '../../src/index.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (value: Uint8Array | undefined): string | undefined =>
  value === undefined ? undefined : new TextDecoder().decode(value);
const STALE = { code: 'ELECTION_EPOCH_STALE' };

describe('guard', () => {
  it('keeps the highest epoch and refuses lower ones', () => {
    const table = guard('orders', { highest: 5 });
    table.admit(5);
    table.admit(9);
    table.admit(9);
    expect(table.highest).toBe(9);
    expect(() => table.admit(8)).toThrowError(
      expect.objectContaining({ ...STALE, fields: { resource: 'orders', epoch: 8, highest: 9 } }),
    );
    expect(table.highest).toBe(9);
  });
});

describe('a fenced value', () => {
  it.each(['', 'x', '{"epoch":1}\n', '\n'])('brings back epoch and value %j', (value) => {
    const back = decodeFenced(encodeFenced({ epoch: 123, value: bytes(value) }));
    expect([back.epoch, text(back.value)]).toEqual([123, value]);
  });

  it('is a value of epoch 0 when nobody has fenced it', () => {
    expect(decodeFenced(bytes('plain\nlines'))).toEqual({ epoch: 0, value: bytes('plain\nlines') });
  });
});

async function file(): Promise<{ path: string; open: () => FencedFile }> {
  const directory = await temporaryDirectory('fenced');
  onTestFinished(() => directory.remove());
  const path = `${directory.path}/state`;
  return { path, open: () => new FencedFile(path, randomUUID) };
}

async function key(): Promise<{ open: () => FencedKey }> {
  const kv = await new MemoryNats().session().ensureKv('state');
  return { open: () => new FencedKey(kv, 'x') };
}

describe.each([
  ['file', file],
  ['key', key],
] as const)('a fenced %s', (_what, make) => {
  it('is written under growing epochs and refuses an earlier one', async () => {
    const { open } = await make();
    const [old, young] = [open(), open()];
    expect(await old.read()).toBeUndefined();
    await old.write(3, bytes('a'));
    await old.write(3, bytes('b'));
    await young.write(7, bytes('c'));
    await expect(old.write(3, bytes('d'))).rejects.toMatchObject(STALE);
    const now = await open().read();
    expect([now?.epoch, text(now?.value)]).toEqual([7, 'c']);
  });

  it('is closed to earlier terms by a claim, which gives the last of their values', async () => {
    const { open } = await make();
    expect(await open().claim(1)).toBeUndefined();
    await open().write(1, bytes('a'));
    expect(text(await open().claim(2))).toBe('a');
    await expect(open().write(1, bytes('late'))).rejects.toMatchObject(STALE);
    await expect(open().claim(1)).rejects.toMatchObject(STALE);
    expect(text((await open().read())?.value)).toBe('a');
  });

  it('never goes back, with many writers of many epochs at the same time', async () => {
    const { open } = await make();
    const seen: number[] = [];
    let done = false;
    const reading = (async () => {
      const reader = open();
      while (!done) {
        seen.push((await reader.read())?.epoch ?? 0);
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    let refused = 0;
    await Promise.all(
      Array.from({ length: 8 }, async (_, writer) => {
        for (let i = 0; i < 8; i++) {
          const epoch = i * 8 + writer + 1;
          await open()
            .write(epoch, bytes(String(epoch)))
            .catch((error: unknown) => {
              expect(error).toMatchObject(STALE);
              refused += 1;
            });
        }
      }),
    );
    done = true;
    await reading;
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    const last = await open().read();
    expect([last?.epoch, text(last?.value)]).toEqual([64, '64']);
    expect(refused).toBeLessThan(64);
  });
});

describe('a fenced file', () => {
  it('keeps a few versions and no temporary files', async () => {
    const { path, open } = await file();
    for (let i = 0; i < 20; i++) await open().write(1, bytes(String(i)));
    const names = await readdir(path);
    expect(names.length).toBeLessThanOrEqual(3);
    expect(names.every((name) => /^\d{15}$/.test(name))).toBe(true);
  });

  it('is not brought back by a writer that froze between its look and its write', async () => {
    const { path, open } = await file();
    await open().write(1, bytes('first'));
    // It has looked, and is about to make a temporary file, when the next term begins: ten writes, and its number is free.
    let first = true;
    const slow = new FencedFile(path, () => {
      if (first) {
        first = false;
        const names = readdirSync(path).sort();
        for (let n = 2; n <= 12; n++)
          writeFileSync(join(path, String(n).padStart(15, '0')), encodeFenced({ epoch: 2, value: bytes(`new ${n}`) }));
        for (const name of [...names, '000000000000002']) unlinkSync(join(path, name));
      }
      return randomUUID();
    });
    await expect(slow.write(1, bytes('old'))).rejects.toMatchObject(STALE);
    expect(first).toBe(false);
    expect(text((await open().read())?.value)).toBe('new 12');
  });
});
