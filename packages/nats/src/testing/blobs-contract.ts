/** What every Blobs must do, whatever is behind it. */
import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { Blobs, BlobWatchEvent } from '../blobs/port.ts';
import { bytes, type ContractSystem, codeOf, Recorder, text, useSystem } from './system.ts';

function line(event: BlobWatchEvent): string {
  if (event.type === 'put') return `put ${event.blob.name} ${event.blob.size}`;
  return event.type === 'deleted' ? `deleted ${event.name}` : event.type;
}

const synced = (event: BlobWatchEvent): boolean => event.type === 'synced';

/** Bytes without a pattern that a wrong order of chunks would keep. */
function noise(size: number): Uint8Array {
  const data = new Uint8Array(size);
  let x = 1;
  for (let i = 0; i < size; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    data[i] = x >>> 24;
  }
  return data;
}

async function* inPieces(data: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < data.length; at += size) yield data.subarray(at, at + size);
}

export function describeBlobsContract(name: string, makeSystem: () => Promise<ContractSystem>): void {
  describe(`Blobs contract: ${name}`, () => {
    const sessions = useSystem(makeSystem);
    const fresh = async (): Promise<Blobs> => sessions().a.ensureBlobs(sessions().bucket());

    test('an object is read back with its headers', async () => {
      const blobs = await fresh();
      const put = await blobs.put('ltx/0/1.ltx', bytes('hello'), { headers: { 'Litestream-Timestamp': 'now' } });
      expect(put).toMatchObject({ name: 'ltx/0/1.ltx', size: 5 });
      const read = await blobs.read('ltx/0/1.ltx');
      expect(text(read?.bytes)).toBe('hello');
      expect(read?.info).toMatchObject({ revision: put.revision, headers: { 'Litestream-Timestamp': 'now' } });
      expect(await blobs.info('ltx/0/1.ltx')).toMatchObject({ revision: put.revision, size: 5 });
      expect(await blobs.read('ltx/0/2.ltx')).toBeUndefined();
      expect(await blobs.info('ltx/0/2.ltx')).toBeUndefined();
      expect(await blobs.get('ltx/0/2.ltx')).toBeUndefined();
    });

    test('a reading that was cut off goes on where it was, or begins anew; of another object it begins anew', async () => {
      const blobs = await fresh();
      const data = noise(3_500_000);
      await blobs.put('a', data);
      const first = await blobs.get('a');
      const held: Uint8Array[] = [];
      let mark: string | undefined;
      for await (const piece of first?.data ?? []) {
        held.push(Uint8Array.from(piece));
        mark = first?.mark?.();
        if (held.length === 2) break;
      }
      const after = { mark: mark ?? 'none', held: () => inPieces(Buffer.concat(held), 1000) };
      const goOn = async (): Promise<{ resumed: boolean; whole: Uint8Array }> => {
        const second = await blobs.get('a', { after });
        const resumed = second?.resumed === true;
        const pieces = resumed ? [...held] : [];
        for await (const piece of second?.data ?? []) pieces.push(Uint8Array.from(piece));
        return { resumed, whole: Buffer.concat(pieces) };
      };
      expect(Buffer.compare((await goOn()).whole, data)).toBe(0);
      held[0] = Uint8Array.from(held[0] as Uint8Array, (byte) => byte ^ 1);
      const spoilt = await goOn().catch((error: { code?: string }) => error.code);
      expect(typeof spoilt === 'string' ? spoilt : spoilt?.resumed).toBe(mark === undefined ? false : 'BLOB_CORRUPT');
      await blobs.put('a', data.subarray(1));
      const other = await goOn();
      expect(other.resumed).toBe(false);
      expect(Buffer.compare(other.whole, data.subarray(1))).toBe(0);
    });

    test('createOnly leaves what is there untouched', async () => {
      const blobs = await fresh();
      const other = await sessions().b.blobs(blobs.bucket);
      await blobs.put('a', bytes('first'), { createOnly: true });
      expect(await codeOf(other.put('a', bytes('second'), { createOnly: true }))).toBe('BLOB_EXISTS');
      expect(text((await blobs.read('a'))?.bytes)).toBe('first');
    });

    test('of many who create the same name one succeeds, whole', async () => {
      const blobs = await fresh();
      const other = await sessions().b.blobs(blobs.bucket);
      const puts = Array.from({ length: 10 }, (_, i) =>
        (i % 2 === 0 ? blobs : other).put('a', bytes(`writer ${i}`), { createOnly: true }),
      );
      const results = await Promise.allSettled(puts);
      const won = results.findIndex((result) => result.status === 'fulfilled');
      expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1);
      expect(text((await blobs.read('a'))?.bytes)).toBe(`writer ${won}`);
    });

    test('a plain put replaces the object', async () => {
      const blobs = await fresh();
      const first = await blobs.put('a', bytes('first'));
      const second = await blobs.put('a', bytes('second'));
      expect(second.revision).toBeGreaterThan(first.revision);
      expect(text((await blobs.read('a'))?.bytes)).toBe('second');
      expect(await blobs.list()).toHaveLength(1);
    });

    test('objects of every size survive, from bytes and from a stream', async () => {
      const blobs = await fresh();
      for (const size of [0, 1, 1000, 128 * 1024, 1024 * 1024, 3 * 1024 * 1024 + 7]) {
        const data = noise(size);
        await blobs.put(`b/${size}`, data);
        await blobs.put(`s/${size}`, inPieces(data, 50_001));
        for (const kind of ['b', 's']) {
          const read = await blobs.read(`${kind}/${size}`);
          expect(read?.info.size, `${kind}/${size}`).toBe(size);
          expect(Buffer.compare(read?.bytes ?? bytes('missing'), data), `${kind}/${size}`).toBe(0);
        }
      }
    });

    test('a digest that the caller has takes the place of one that is computed, whatever the size', async () => {
      const blobs = await fresh();
      for (const size of [0, 100, 3_000_001]) {
        const data = noise(size);
        const sha256 = createHash('sha256').update(data).digest();
        expect(await blobs.put(`known-${size}`, data, { sha256 })).toMatchObject({ size });
        // Reading compares.
        const read = await blobs.read(`known-${size}`);
        expect(Buffer.compare(read?.bytes ?? bytes('missing'), data), `${size}`).toBe(0);
      }
    });

    test('get streams, and may be left half-way', async () => {
      const blobs = await fresh();
      const data = noise(5 * 1024 * 1024);
      await blobs.put('big', data);
      const blob = await blobs.get('big');
      const parts: Uint8Array[] = [];
      for await (const part of blob?.data ?? []) parts.push(part);
      expect(parts.length).toBeGreaterThan(1);
      expect(Buffer.compare(Buffer.concat(parts), data)).toBe(0);
      for await (const part of (await blobs.get('big'))?.data ?? []) {
        expect(part.length).toBeGreaterThan(0);
        break;
      }
    });

    test('read refuses what is larger than it may be', async () => {
      const blobs = await fresh();
      await blobs.put('a', bytes('hello'));
      expect(await codeOf(blobs.read('a', { maxBytes: 4 }))).toBe('BLOB_TOO_LARGE');
    });

    test('a put whose source fails leaves nothing', async () => {
      const blobs = await fresh();
      const broken = (async function* () {
        yield noise(2 * 1024 * 1024);
        throw new Error('source broke');
      })();
      await expect(blobs.put('a', broken)).rejects.toThrow('source broke');
      expect(await blobs.info('a')).toBeUndefined();
      expect(await blobs.list()).toEqual([]);
    });

    test('list gives what is present under the prefix', async () => {
      const blobs = await fresh();
      for (const object of ['ltx/0/1', 'ltx/0/2', 'ltx/9/1', 'other']) await blobs.put(object, bytes(object));
      await blobs.delete('ltx/0/1');
      const names = async (prefix?: string): Promise<string[]> =>
        (await blobs.list(prefix)).map((info) => info.name).sort();
      expect(await names()).toEqual(['ltx/0/2', 'ltx/9/1', 'other']);
      expect(await names('ltx/0/')).toEqual(['ltx/0/2']);
      expect(await names('nothing')).toEqual([]);
    });

    test('delete removes; the absent is fine; the name is free again', async () => {
      const blobs = await fresh();
      await blobs.put('a', noise(2 * 1024 * 1024));
      await blobs.delete('a');
      await blobs.delete('a');
      expect(await blobs.read('a')).toBeUndefined();
      await blobs.put('a', bytes('again'), { createOnly: true });
      expect(text((await blobs.read('a'))?.bytes)).toBe('again');
    });

    test('many are deleted in order; where taking names fails, what is gone is a prefix', async () => {
      const blobs = await fresh();
      const names = Array.from({ length: 40 }, (_, i) => `ltx/0/${i + 10}`);
      for (const object of names) await blobs.put(object, bytes(object));
      await blobs.put('other', bytes('other'));
      const broken = (async function* () {
        yield* names.slice(0, 30);
        throw new Error('no more names');
      })();
      const told: string[] = [];
      const onDeleted = (object: string): void => void told.push(object);
      await expect(blobs.deleteInOrder(broken, { onDeleted })).rejects.toThrow('no more names');
      const left = async (): Promise<string[]> => (await blobs.list('ltx/')).map((info) => info.name).sort();
      expect(await left()).toEqual(names.slice(told.length));
      const stop = new AbortController();
      const from = told.length;
      const stopping = (object: string): void => {
        onDeleted(object);
        if (told.length === from + 3) stop.abort(new Error('enough'));
      };
      const rest = names.slice(from);
      const stopped = blobs.deleteInOrder(rest, { onDeleted: stopping, signal: stop.signal });
      await expect(stopped).rejects.toThrow('enough');
      // The one after the last may be gone without having been told.
      expect([names.slice(told.length), names.slice(told.length + 1)]).toContainEqual(await left());
      await blobs.deleteInOrder([...names, 'ltx/0/never'], { onDeleted });
      expect(told.slice(-41)).toEqual([...names, 'ltx/0/never']);
      expect(told.slice(0, -41)).toEqual(names.slice(0, told.length - 41));
      expect((await blobs.list()).map((info) => info.name)).toEqual(['other']);
      expect(text((await blobs.read('other'))?.bytes)).toBe('other');
    });

    test('a missing bucket is an error', async () => {
      expect(await codeOf(sessions().a.blobs('never-made'))).toBe('BLOB_BUCKET_MISSING');
    });

    test('a full bucket says so, and nothing is visible', async () => {
      const blobs = await sessions().a.ensureBlobs(sessions().bucket(), { maxBytes: 2 * 1024 * 1024 });
      expect((await blobs.bucketInfo()).maxBytes).toBe(2 * 1024 * 1024);
      const { revision } = await blobs.put('a', noise(1024 * 1024));
      const { lastRevision } = await blobs.bucketInfo();
      // A store that does not know it says nothing.
      expect([revision, undefined]).toContain(lastRevision);
      expect(await codeOf(blobs.put('b', noise(1_500_000)))).toBe('BUCKET_FULL');
      expect(await blobs.info('b')).toBeUndefined();
      expect(await blobs.info('a')).toBeDefined();
    });

    test('a sweep leaves every object as it is', async () => {
      const blobs = await fresh();
      const data = noise(1_500_000);
      await blobs.put('a', data);
      await blobs.put('b', bytes('small'));
      await blobs.put('b', bytes('again'));
      expect(await blobs.sweep({ olderThanMs: 60_000 })).toEqual({ orphans: 0 });
      expect(Buffer.compare((await blobs.read('a'))?.bytes ?? bytes('missing'), data)).toBe(0);
      expect(text((await blobs.read('b'))?.bytes)).toBe('again');
    });

    test('a watch begins with what is present, then synced, then changes', async () => {
      const blobs = await fresh();
      const other = await sessions().b.blobs(blobs.bucket);
      await blobs.put('a/1', bytes('1'));
      await blobs.put('b/1', bytes('1'));
      const seen = new Recorder((signal) => other.watch('a/', { signal }));
      await seen.until(synced);
      expect(seen.events.map(line)).toEqual(['put a/1 1', 'synced']);
      await blobs.put('a/2', bytes('22'), { createOnly: true });
      await blobs.put('b/2', bytes('22'));
      await blobs.delete('a/1');
      await blobs.put('a/3', bytes('333'));
      await seen.until((event) => line(event) === 'deleted a/1');
      await seen.until((event) => line(event) === 'put a/3 3');
      expect(seen.events.map(line).sort()).toEqual(
        ['put a/1 1', 'synced', 'put a/2 2', 'deleted a/1', 'put a/3 3'].sort(),
      );
      await seen.stop();
    });
  });
}
