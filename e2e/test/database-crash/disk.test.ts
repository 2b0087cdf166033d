/** The disk of the campaign keeps what was flushed, may lose what was not, and never makes anything up. */
import { seededRandom } from '@canopy/core';
import { expect, test } from 'vitest';
import { afterPowerLoss, type Files, LOSSES, type Loss, parseDiskLog } from '../../src/database-crash/disk.ts';

const encoder = new TextEncoder();

/** A record as the shim writes it. */
class Recorder {
  bytes = new Uint8Array();

  note(
    type: string,
    fields: { inode?: number; offset?: number; data?: string; path?: string; to?: string } = {},
  ): this {
    const { inode = 0, offset = 0, data = '', path = '', to = '' } = fields;
    const line = `${type}\t${inode}\t${offset}\t${data.length}\t${path}\t${to}\n${data}`;
    this.bytes = new Uint8Array([...this.bytes, ...encoder.encode(line)]);
    return this;
  }

  sync(inode: number): this {
    return this.note('sync', { inode, offset: this.bytes.byteLength });
  }

  syncDirectory(path: string): this {
    return this.note('syncdir', { offset: this.bytes.byteLength, path });
  }

  after(loss: Loss, seed = 's', first: Files = new Map()): Record<string, string> {
    const files = afterPowerLoss(first, parseDiskLog(this.bytes), loss, seededRandom(seed));
    return Object.fromEntries([...files].map(([path, { content }]) => [path, new TextDecoder().decode(content)]));
  }
}

const SEEDS = Array.from({ length: 40 }, (_, i) => `seed ${i}`);

test('what was flushed is there whatever is lost', () => {
  const recorder = new Recorder().note('create', { inode: 1, path: '/d/a' });
  recorder
    .note('write', { inode: 1, data: 'kept' })
    .sync(1)
    .syncDirectory('/d')
    .note('write', { inode: 1, data: 'lost' });
  for (const loss of LOSSES)
    for (const seed of SEEDS) expect(['kept', 'lost']).toContain(recorder.after(loss, seed)['/d/a']);
  expect(recorder.after('nothing')).toEqual({ '/d/a': 'kept' });
  expect(recorder.after('all')).toEqual({ '/d/a': 'lost' });
});

test('a name whose directory was not flushed may be missing, and a file that was not flushed may be empty under its name', () => {
  const recorder = new Recorder().note('create', { inode: 1, path: '/d/t' }).note('write', { inode: 1, data: 'new' });
  recorder.note('rename', { path: '/d/t', to: '/d/s' });
  const seen = new Set(SEEDS.map((seed) => JSON.stringify(recorder.after('operations', seed))));
  expect(seen).toContain('{}');
  expect(seen).toContain('{"/d/s":""}');
  expect(seen).toContain('{"/d/s":"new"}');
  expect(recorder.after('nothing')).toEqual({});
});

test('a flush covers what came before its beginning, not what was written while it ran', () => {
  const recorder = new Recorder().note('create', { inode: 1, path: '/d/a' }).syncDirectory('/d');
  recorder.note('write', { inode: 1, data: 'before' });
  const began = recorder.bytes.byteLength;
  recorder.note('write', { inode: 1, data: 'during' }).note('sync', { inode: 1, offset: began });
  expect(recorder.after('nothing')).toEqual({ '/d/a': 'before' });
});

test('sectors of one write are lost one by one; a record that was cut short is ignored', () => {
  const recorder = new Recorder().note('create', { inode: 1, path: '/d/a' }).syncDirectory('/d');
  recorder.note('write', { inode: 1, data: 'x'.repeat(2048) });
  const shapes = new Set(SEEDS.map((seed) => recorder.after('sectors', seed)['/d/a']));
  expect(shapes.size).toBeGreaterThan(8);
  recorder.bytes = recorder.bytes.subarray(0, recorder.bytes.byteLength - 1);
  expect(recorder.after('all')).toEqual({ '/d/a': '' });
});

test('removals and an inode that is used again', () => {
  const recorder = new Recorder()
    .note('create', { inode: 1, path: '/d/a' })
    .note('write', { inode: 1, data: 'one' })
    .sync(1);
  recorder.syncDirectory('/d').note('unlink', { path: '/d/a' }).note('create', { inode: 1, path: '/d/b' });
  recorder.note('write', { inode: 1, data: 'two' });
  expect(recorder.after('nothing')).toEqual({ '/d/a': 'one' });
  expect(recorder.after('all')).toEqual({ '/d/b': 'two' });
});
