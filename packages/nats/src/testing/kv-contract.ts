/** What every Kv must do, whatever is behind it. */
import { systemClock } from '@canopy/core';
import { describe, expect, test } from 'vitest';
import type { Kv, KvWatchEvent } from '../kv/port.ts';
import { bytes, type ContractSystem, codeOf, Recorder, text, useSystem } from './system.ts';

/** One line per event, for comparing. */
function line(event: KvWatchEvent): string {
  return event.type === 'entry' ? `${event.entry.operation} ${event.entry.key}=${text(event.entry.value)}` : event.type;
}

const watchOf = (kv: Kv, filter: string | string[]): Recorder<KvWatchEvent> =>
  new Recorder((signal) => kv.watch(filter, { signal }));

const synced = (event: KvWatchEvent): boolean => event.type === 'synced';

export function describeKvContract(name: string, makeSystem: () => Promise<ContractSystem>): void {
  describe(`Kv contract: ${name}`, () => {
    const sessions = useSystem(makeSystem);
    const fresh = async (): Promise<Kv> => sessions().a.ensureKv(sessions().bucket());

    test('a value is read back with the revision of its write', async () => {
      const kv = await fresh();
      const revision = await kv.create('node.a', bytes('one'));
      const entry = await kv.get('node.a');
      expect(entry).toMatchObject({ key: 'node.a', revision, operation: 'put' });
      expect(text(entry?.value)).toBe('one');
      expect(await kv.get('node.b')).toBeUndefined();
    });

    test('create refuses a present key and takes an absent or deleted one', async () => {
      const kv = await fresh();
      const first = await kv.create('k', bytes('1'));
      expect(await codeOf(kv.create('k', bytes('2')))).toBe('KV_CONFLICT');
      const gone = await kv.delete('k', first);
      expect(gone).toBeGreaterThan(first);
      expect(await kv.get('k')).toBeUndefined();
      expect(await kv.create('k', bytes('3'))).toBeGreaterThan(gone);
      expect(text((await kv.get('k'))?.value)).toBe('3');
    });

    test('update and delete succeed only at the present revision', async () => {
      const kv = await fresh();
      const first = await kv.create('k', bytes('1'));
      const second = await kv.update('k', bytes('2'), first);
      expect(second).toBeGreaterThan(first);
      expect(await codeOf(kv.update('k', bytes('x'), first))).toBe('KV_CONFLICT');
      expect(await codeOf(kv.delete('k', first))).toBe('KV_CONFLICT');
      expect(await codeOf(kv.update('other', bytes('x'), 12345))).toBe('KV_CONFLICT');
      expect(text((await kv.get('k'))?.value)).toBe('2');
      await kv.delete('k', second);
      expect(await codeOf(kv.update('k', bytes('x'), second))).toBe('KV_CONFLICT');
    });

    test('a write elsewhere in the bucket does not disturb a conditional one', async () => {
      const kv = await fresh();
      const revision = await kv.create('a', bytes('1'));
      await kv.put('b', bytes('1'));
      expect(await kv.update('a', bytes('2'), revision)).toBeGreaterThan(revision);
    });

    test('of many who write at the same revision one succeeds', async () => {
      const kv = await fresh();
      const other = await sessions().b.kv(kv.bucket);
      const revision = await kv.create('k', bytes('0'));
      const writers = Array.from({ length: 20 }, (_, i) =>
        (i % 2 === 0 ? kv : other).update('k', bytes(`${i}`), revision),
      );
      const results = await Promise.allSettled(writers);
      const won = results.filter((result) => result.status === 'fulfilled');
      expect(won).toHaveLength(1);
      const lost = results.filter((result) => result.status === 'rejected').map((result) => result.reason.code);
      expect(new Set(lost)).toEqual(new Set(['KV_CONFLICT']));
      expect((await kv.get('k'))?.revision).toBe(won[0]?.value);
    });

    test('what one session wrote the other reads at once', async () => {
      const kv = await fresh();
      const other = await sessions().b.kv(kv.bucket);
      for (let i = 0; i < 20; i++) {
        await kv.put('k', bytes(`${i}`));
        expect(text((await other.get('k'))?.value)).toBe(`${i}`);
      }
    });

    test('keys lists what is present and matches', async () => {
      const kv = await fresh();
      await kv.put('a.x', bytes('1'));
      await kv.put('a.y.z', bytes('1'));
      const gone = await kv.put('b.x', bytes('1'));
      await kv.delete('b.x', gone);
      expect((await kv.keys()).sort()).toEqual(['a.x', 'a.y.z']);
      expect(await kv.keys('a.*')).toEqual(['a.x']);
      expect(await kv.keys('b.>')).toEqual([]);
      expect(await kv.keys('a.y.z')).toEqual(['a.y.z']);
    });

    test('a value is bytes, of any kind and none', async () => {
      const kv = await fresh();
      const all = Uint8Array.from({ length: 256 }, (_, i) => i);
      await kv.put('all', all);
      await kv.put('none', new Uint8Array(0));
      expect((await kv.get('all'))?.value).toEqual(all);
      expect(await kv.get('none')).toMatchObject({ operation: 'put', value: new Uint8Array(0) });
    });

    test('names that are none are refused before anything is sent', async () => {
      const kv = await fresh();
      for (const key of ['', '.a', 'a.', 'a..b', 'a b', 'a*', '>', '_tick'])
        expect(await codeOf(kv.put(key, bytes('1'))), key).toBe('NAME_REFUSED');
      expect(await codeOf(sessions().a.ensureKv('no dots.here'))).toBe('NAME_REFUSED');
    });

    test('a missing bucket is an error, and other settings are another', async () => {
      const { a } = sessions();
      expect(await codeOf(a.kv('never-made'))).toBe('KV_BUCKET_MISSING');
      const kv = await fresh();
      expect(await codeOf(a.ensureKv(kv.bucket, { ttlMs: 5000 }))).toBe('KV_BUCKET_MISMATCH');
      expect(await codeOf(a.ensureKv(kv.bucket, { history: 5 }))).toBe('KV_BUCKET_MISMATCH');
      expect((await a.ensureKv(kv.bucket)).bucket).toBe(kv.bucket);
    });

    test('many make the same bucket at once', async () => {
      const { a, b, bucket } = sessions();
      const name = bucket();
      const made = await Promise.all([a, b, a, b, a, b].map((session) => session.ensureKv(name)));
      await made[0]?.put('k', bytes('1'));
      expect(text((await made[5]?.get('k'))?.value)).toBe('1');
    });

    test('a bucket begins at the revision that its maker asked for, and keeps it', async () => {
      const { a, b, bucket } = sessions();
      const name = bucket();
      const firstRevision = 179_000_000_000_000;
      const kv = await a.ensureKv(name, { firstRevision });
      expect(await kv.create('k', bytes('1'))).toBe(firstRevision);
      const again = await b.ensureKv(name, { firstRevision: firstRevision + 1000 });
      expect(await again.update('k', bytes('2'), firstRevision)).toBe(firstRevision + 1);
      expect((await again.get('k'))?.revision).toBe(firstRevision + 1);
      const seen = watchOf(again, 'k');
      await seen.until(synced);
      expect(seen.events[0]).toMatchObject({ entry: { revision: firstRevision + 1 } });
      await seen.stop();
    });

    test('a watch and a read give the same time of a write', async () => {
      const kv = await fresh();
      for (let i = 0; i < 50; i++) await kv.put(`k${i}`, bytes('1'));
      const seen = watchOf(kv, '>');
      await seen.until(synced);
      for (const event of seen.events) {
        if (event.type !== 'entry') continue;
        const { key, revision, writtenAt } = event.entry;
        expect(await kv.get(key)).toMatchObject({ revision, writtenAt });
      }
      await seen.stop();
    });

    test('info tells the settings and when the bucket was made', async () => {
      const kv = await sessions().a.ensureKv(sessions().bucket(), { ttlMs: 60_000 });
      const revision = await kv.put('k', bytes('1'));
      const info = await kv.info();
      expect(info).toMatchObject({ bucket: kv.bucket, ttlMs: 60_000, history: 1 });
      expect(info.lastRevision).toBeGreaterThanOrEqual(revision);
      expect(info.createdAt).toBeGreaterThan(0);
    });

    describeWatch(sessions, fresh);
    describeExpiry(sessions);
  });
}

function describeWatch(sessions: ReturnType<typeof useSystem>, fresh: () => Promise<Kv>): void {
  test('a watch begins with what is present, then synced, then changes', async () => {
    const kv = await fresh();
    await kv.put('a', bytes('1'));
    const gone = await kv.put('b', bytes('1'));
    await kv.delete('b', gone);
    const seen = watchOf(kv, '>');
    await seen.until(synced);
    expect(seen.events.map(line)).toEqual(['put a=1', 'synced']);
    const second = await kv.put('a', bytes('2'));
    await kv.delete('a', second);
    await kv.create('a', bytes('3'));
    await seen.until((event) => line(event) === 'put a=3');
    expect(seen.events.map(line).slice(2)).toEqual(['put a=2', 'delete a=', 'put a=3']);
    await seen.stop();
  });

  test('a watch on an empty bucket is synced at once', async () => {
    const seen = watchOf(await fresh(), '>');
    await seen.until(synced);
    expect(seen.events.map(line)).toEqual(['synced']);
    await seen.stop();
  });

  test('a watch is told once of what was there, wherever in the bucket', async () => {
    const kv = await fresh();
    for (let i = 0; i < 50; i++) await kv.put(`k.${i % 10}`, bytes(`${i}`));
    const seen = watchOf(kv, '>');
    await seen.until(synced);
    const before = seen.events.slice(0, seen.events.findIndex(synced)).map(line).sort();
    expect(before).toEqual(Array.from({ length: 10 }, (_, i) => `put k.${i}=${40 + i}`).sort());
    await seen.stop();
  });

  test('a watch hears only what its filters match, and never a tick', async () => {
    const kv = await fresh();
    const other = await sessions().b.kv(kv.bucket);
    const seen = watchOf(kv, ['a.*', 'c']);
    await seen.until(synced);
    for (const key of ['a', 'a.x', 'a.x.y', 'b', 'c']) await other.put(key, bytes('1'));
    await seen.until((event) => line(event) === 'put c=1');
    await systemClock.sleep(1200);
    expect(seen.events.map(line)).toEqual(['synced', 'put a.x=1', 'put c=1']);
    await seen.stop();
  });

  test('a watcher that comes later gets the present state as well', async () => {
    const kv = await fresh();
    const first = watchOf(kv, '>');
    await first.until(synced);
    await kv.put('a', bytes('1'));
    await first.until((event) => line(event) === 'put a=1');
    const second = watchOf(kv, 'a');
    await second.until(synced);
    expect(second.events.map(line)).toEqual(['put a=1', 'synced']);
    await first.stop();
    await kv.put('a', bytes('2'));
    await second.until((event) => line(event) === 'put a=2');
    await second.stop();
  });

  test('a watch ends with its signal, also one that has aborted before', async () => {
    const kv = await fresh();
    const seen = watchOf(kv, '>');
    await seen.until(synced);
    await seen.stop();
    const late = kv.watch('>', { signal: AbortSignal.abort() });
    for await (const event of late) expect.fail(`got ${event.type}`);
  });

  test('a reader that lags gets the latest of every key', async () => {
    const kv = await fresh();
    const controller = new AbortController();
    const watch = kv.watch('>', { signal: controller.signal })[Symbol.asyncIterator]();
    await watch.next();
    for (let i = 0; i < 200; i++) await kv.put(`k.${i % 4}`, bytes(`${i}`));
    const latest = new Map<string, string | undefined>();
    while (latest.get('k.3') !== '199') {
      const { value } = await watch.next();
      if (value?.type === 'entry') latest.set(value.entry.key, text(value.entry.value));
    }
    expect(Object.fromEntries(latest)).toEqual({ 'k.0': '196', 'k.1': '197', 'k.2': '198', 'k.3': '199' });
    controller.abort();
  });
}

function describeExpiry(sessions: ReturnType<typeof useSystem>): void {
  test('entries expire after the time to live of their last write, and watchers learn of it', async () => {
    const kv = await sessions().a.ensureKv(sessions().bucket(), { ttlMs: 1000 });
    const seen = watchOf(kv, '>');
    await seen.until(synced);
    const revision = await kv.create('lease', bytes('a'));
    const renewed = await kv.update('lease', bytes('b'), revision);
    await seen.until((event) => event.type === 'entry' && event.entry.operation === 'delete');
    // Told from a deletion, which has a revision of its own: nobody wrote this.
    expect(seen.events.at(-1)).toMatchObject({ entry: { key: 'lease', revision: renewed } });
    expect(await kv.get('lease')).toBeUndefined();
    expect(await codeOf(kv.update('lease', bytes('c'), renewed))).toBe('KV_CONFLICT');
    expect(await kv.create('lease', bytes('d'))).toBeGreaterThan(renewed);
    await seen.stop();
  });
}
