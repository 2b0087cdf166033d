import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CanopyError } from '@canopy/core';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { SegmentLog } from '../../src/log/segment-log.ts';
import { restore } from '../../src/standalone/restore.ts';
import { fill, memoryLog } from '../log/logs.ts';
import { WalDatabase } from '../wal/databases.ts';

let root: string;
let log: SegmentLog;
beforeEach(async () => {
  const source = new WalDatabase(512);
  onTestFinished(() => source[Symbol.dispose]());
  root = source.directory;
  log = (await memoryLog()).log;
  await fill(log, 1, 3);
});

async function refusal(dest: string, overwrite = false): Promise<CanopyError> {
  const error = await restore({ log, dest, overwrite }).catch((reason: unknown) => reason);
  expect(CanopyError.is(error), String(error)).toBe(true);
  return error as CanopyError;
}

describe.each([false, true])('a destination that cannot be, overwrite %s', (overwrite) => {
  test('in a directory that is not there', async () => {
    const error = await refusal(join(root, 'none', 'x.db'), overwrite);
    expect(error).toMatchObject({ code: 'SQLITE_DESTINATION_INVALID', fields: { path: join(root, 'none', 'x.db') } });
    expect(error.message).toContain(`there is no directory ${join(root, 'none')}`);
    expect(readdirSync(root)).not.toContain('none');
  });

  test('a directory, and one below a file', async () => {
    mkdirSync(join(root, 'taken'));
    writeFileSync(join(root, 'file'), '');
    expect((await refusal(join(root, 'taken'), overwrite)).message).toContain('it is a directory');
    expect((await refusal(join(root, 'file', 'x.db'), overwrite)).message).toContain('is no directory');
    expect(readdirSync(join(root, 'taken'))).toEqual([]);
  });

  test('what is no regular file, and what SQLite keeps beside a database', async () => {
    execFileSync('mkfifo', [join(root, 'pipe')]);
    expect((await refusal(join(root, 'pipe'), overwrite)).message).toContain('it is no regular file');
    expect(statSync(join(root, 'pipe')).isFIFO()).toBe(true);
    writeFileSync(join(root, 'base.db'), '');
    for (const suffix of ['-wal', '-shm', '-journal']) {
      writeFileSync(join(root, `base.db${suffix}`), 'kept');
      const error = await refusal(join(root, `base.db${suffix}`), overwrite);
      expect(error.code).toBe('SQLITE_DESTINATION_INVALID');
      expect(readFileSync(join(root, `base.db${suffix}`), 'utf8')).toBe('kept');
    }
  });

  test.runIf(process.platform === 'linux')('where the file system takes none', async () => {
    expect((await refusal('/proc/canopy-test.db', overwrite)).code).toBe('SQLITE_UNWRITABLE');
    expect((await refusal('/sys/canopy-test.db', overwrite)).code).toBe('SQLITE_UNWRITABLE');
  });
});

test('of many restores to one destination one goes on, the others are told so', async () => {
  const dest = join(root, 'same.db');
  const settled = await Promise.allSettled(Array.from({ length: 10 }, () => restore({ log, dest })));
  const codes = settled.map((one) => (one.status === 'fulfilled' ? 'done' : (one.reason as { code?: string }).code));
  expect(codes.filter((code) => code === 'done').length).toBe(1);
  expect(new Set(codes.filter((code) => code !== 'done'))).toEqual(new Set(['SQLITE_DESTINATION_BUSY']));
  expect(readdirSync(root).filter((name) => name.startsWith('same.db'))).toEqual(['same.db']);
});
