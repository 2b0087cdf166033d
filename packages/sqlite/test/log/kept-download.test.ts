/** A restore that is cut off in the midst of a large image goes on there, and never with what is not the object's. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { epoch, silentLogger, systemEnv } from '@canopy/core';
import type { Blob, Blobs } from '@canopy/nats';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SegmentLog } from '../../src/log/segment-log.ts';
import { encodeLtx } from '../../src/ltx/encoder.ts';
import { restore } from '../../src/restore/restore.ts';
import { DirectoryStore } from '../../src/store/directory-store.ts';

const env = { ...systemEnv(), log: silentLogger };
const PAGE = 4096;
const PAGES = 4000;
const CUT = 9 * 1024 * 1024;

let root: string;
let store: DirectoryStore;
let log: SegmentLog;
let dest: string;
let original: Buffer;
/** Bytes that came from the store; it fails once it has given so many. */
let fetched: number;
let cutAt: number;

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'canopy-kept-'));
  dest = join(root, 'bootstrap.db');
  store = DirectoryStore.open({ path: join(root, 'log'), env, make: {} });
  log = new SegmentLog({ blobs: counted(store), clock: env.clock });
  fetched = 0;
  cutAt = Number.POSITIVE_INFINITY;
  original = Buffer.alloc(PAGE * PAGES);
  for (let at = 0, x = 1; at < original.length; at += 4) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    original.writeInt32LE(x ^ (x >>> 13), at);
  }
  await store.put('ltx/0/0000000000000001-0000000000000001.ltx', image(), {
    createOnly: true,
    headers: { 'Litestream-Timestamp': new Date(1).toISOString() },
  });
});
afterEach(() => {
  store.close();
  rmSync(root, { recursive: true, force: true });
});

function image(): Uint8Array {
  const pages = Array.from({ length: PAGES }, (_, i) => ({
    pgno: i + 1,
    data: new Uint8Array(original.subarray(i * PAGE, (i + 1) * PAGE)),
  }));
  return encodeLtx(
    {
      pageSize: PAGE,
      commit: PAGES,
      minTxid: 1,
      maxTxid: 1,
      timestamp: 1,
      walOffset: 32,
      walSize: 0,
      walSalt1: 1,
      walSalt2: 2,
    },
    pages,
  );
}

function counted(inner: DirectoryStore): Blobs {
  async function* count(blob: Blob): AsyncGenerator<Uint8Array> {
    for await (const piece of blob.data) {
      if (fetched + piece.length > cutAt) throw new Error('cut off');
      fetched += piece.length;
      yield piece;
    }
  }
  const get: Blobs['get'] = async (...args) => {
    const blob = await inner.get(...args);
    return blob && { ...blob, data: closing(blob, count(blob)) };
  };
  return new Proxy<Blobs>(inner, {
    get: (target, key) => {
      if (key === 'get') return get;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** Ends the reading below also where none has begun. */
function closing(blob: Blob, pieces: AsyncGenerator<Uint8Array>): AsyncIterable<Uint8Array> {
  const end = async (): Promise<IteratorResult<Uint8Array>> => {
    const ended = await pieces.return(undefined);
    await blob.data[Symbol.asyncIterator]().return?.();
    return ended;
  };
  return { [Symbol.asyncIterator]: () => ({ next: () => pieces.next(), return: end }) };
}

async function cutOff(): Promise<number> {
  cutAt = CUT;
  await expect(restore({ log, dest, isResumable: true })).rejects.toThrow('cut off');
  cutAt = Number.POSITIVE_INFINITY;
  const before = fetched;
  fetched = 0;
  return before;
}

async function whole(): Promise<void> {
  const { position } = await restore({ log, dest, isResumable: true });
  expect(position).toEqual({ epoch: epoch(0), txid: 1 });
  expect(readFileSync(dest).equals(original)).toBe(true);
  expect(readdirSync(root).sort()).toEqual(['bootstrap.db', 'log']);
}

const size = (): number => statSync(join(root, 'log/ltx/0/0000000000000001-0000000000000001.ltx')).size;

test('the rest is fetched, not what came before', async () => {
  await cutOff();
  await whole();
  expect(fetched).toBeLessThanOrEqual(size() - 8 * 1024 * 1024);
});

test('what is kept and is not what came is fetched anew', async () => {
  await cutOff();
  const kept = readFileSync(`${dest}.fetched`);
  kept.fill(0, 5_000_000, 5_004_096);
  writeFileSync(`${dest}.fetched`, kept);
  await whole();
  await rm();
  await cutOff();
  truncateSync(`${dest}.fetched`, 1000);
  await whole();
  expect(fetched).toBe(size());
});

test('without being asked for nothing is kept', async () => {
  cutAt = CUT;
  await expect(restore({ log, dest })).rejects.toThrow('cut off');
  expect(readdirSync(root)).toEqual(['log']);
});

async function rm(): Promise<void> {
  rmSync(dest);
  fetched = 0;
}
