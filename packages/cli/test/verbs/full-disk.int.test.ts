/** A cluster whose disk is full for a while: told while it lasts, survived, and over by itself once there is space. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '@canopy/testkit';
import { expect, it } from 'vitest';
import { EXIT } from '../../src/exit-codes.ts';
import { canopy, startCanopy } from './canopy.ts';
import { fill, smallDisk } from './small-disk.ts';

it('nodes outlive a full disk, status names it, and the app is served again with what was acknowledged', async ({
  skip,
}) => {
  await using disk = await smallDisk(14 * 1024 * 1024, skip);
  const dir = join(disk.path, 'up');
  await using up = await startCanopy(['up', '--example', 'ledger', '--nodes', '2', '--dir', dir, '--nats-port', '0']);
  const row = await up.line(/^n1 +\d+ /, { timeoutMs: 80_000 });
  const proxy = row.trim().split(/ +/).at(-1) as string;
  const transfer = async (id: string): Promise<boolean> => {
    const body = JSON.stringify({ from: 'acct-1', to: 'acct-2', amount: 1 });
    const signal = AbortSignal.timeout(3_000);
    return (await fetch(`${proxy}/transfers/${id}`, { method: 'PUT', body, signal })).ok;
  };
  await eventually(() => transfer('before'), { what: 'a transfer before', timeoutMs: 30_000 });

  const filler = fill(disk.path);
  await up.line(/the disk that holds .* is full/);
  await up.line(/stores nothing/, { timeoutMs: 30_000 });
  const status = await canopy(['status', '--dir', dir]);
  expect(status.code).not.toBe(EXIT.ok);
  expect(status.output).toMatch(/the disk that holds .* is full/);
  expect(status.output).toMatch(/n1 .*100%/);

  rmSync(filler);
  await eventually(() => transfer('after'), { what: 'a transfer afterwards', timeoutMs: 45_000, everyMs: 200 });
  await up.line(/nats-server is started again/);
  expect((await fetch(`${proxy}/transfers/before`)).status).toBe(200);
  expect(up.output).not.toMatch(/node n\d \(process \d+\) ended/);
  up.signal('SIGINT');
  expect((await up.exited).code).toBe(EXIT.ok);
});
