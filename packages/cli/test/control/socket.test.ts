import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryDirectory } from '@canopy/testkit';
import { expect, onTestFinished, test } from 'vitest';
import { askControl, serveControl } from '../../src/control/socket.ts';

test('one that is there and never answers is told apart from none; a link leads to the same one', async () => {
  const root = await temporaryDirectory('control');
  onTestFinished(() => root.remove());
  const file = join(root.path, 'a.db');
  const link = join(root.path, 'link.db');
  symlinkSync('a.db', link);
  await expect(askControl(link, { op: 'status', timeoutMs: 1 })).rejects.toMatchObject({
    code: 'REPLICATION_NOT_RUNNING',
  });
  mkdirSync(`${file}-canopy`);
  await using _served = await serveControl(file, async ({ op }) => (op === 'status' ? 'well' : new Promise(() => {})));
  expect(await askControl(link, { op: 'status', timeoutMs: 1000 })).toBe('well');
  await expect(askControl(file, { op: 'sync', timeoutMs: 1 })).rejects.toMatchObject({ code: 'REPLICATION_SILENT' });
});
