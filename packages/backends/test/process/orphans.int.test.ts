import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { identifyProcess, isGroupGone, type ProcessId, systemClock } from '@canopy/core';
import { expect, test } from 'vitest';
import { CALM, pidFrom, rig, SERVER, until } from './rig.ts';

const HOST = fileURLToPath(new URL('../fixtures/host.ts', import.meta.url));

async function host(stateDir: string, command: readonly string[]): Promise<{ process: ChildProcess; pid: number }> {
  const child = spawn(process.execPath, [HOST, stateDir, ...command], { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream }))
    return { process: child, pid: (JSON.parse(line) as { pid: number }).pid };
  throw new Error('the host ended early');
}

test('SIGKILL of the node alone, no warden: its backend ends through the pipe, SIGTERM ignored or not', async () => {
  await using r = rig({ command: 'true' });
  const node = await host(r.stateDir, ['sh', '-c', 'trap "" TERM INT HUP; sleep 1000 & wait']);
  const id = identifyProcess(node.pid) as ProcessId;
  // A signal to the whole group must not unguard it.
  process.kill(-node.pid, 'SIGTERM');
  expect(isGroupGone(id)).toBe(false);
  const begun = systemClock.monotonic();
  node.process.kill('SIGKILL');
  await until('backend gone', () => isGroupGone(id));
  process.stdout.write(`backend gone ${(systemClock.monotonic() - begun).toFixed(1)} ms after SIGKILL of the node\n`);
});

test('sweep ends what an earlier life left running, strays included', async () => {
  await using r = rig({ command: [process.execPath, SERVER, '0', 'stray'], restart: { policy: 'never' } });
  await r.backend.start({ signal: CALM });
  await until('stray known', () => r.backend.logs().some((line) => line.text.startsWith('stray')));
  const pid = r.backend.status().pid as number;
  const stray = pidFrom(r.backend, 'stray');
  const next = r.again({ command: 'sleep 1000', restart: { policy: 'never' } });
  await next.sweep();
  expect(identifyProcess(pid)).toBeUndefined();
  expect(identifyProcess(stray)).toBeUndefined();
  await next.sweep();
});

test('sweep leaves alone a process that only has the recorded pid', async () => {
  await using r = rig({ command: 'sleep 1000' });
  await r.backend.start({ signal: CALM });
  const pid = r.backend.status().pid as number;
  const file = join(r.stateDir, 'backend.json');
  const record = JSON.parse(readFileSync(file, 'utf8')) as { startTicks: number };
  const next = r.again({ command: 'sleep 1000' });
  for (const wrong of [
    { ...record, mark: 'none', startTicks: record.startTicks - 1 },
    { ...record, mark: 'none', boot: 'another' },
  ]) {
    writeFileSync(file, JSON.stringify(wrong));
    await next.sweep();
    expect(identifyProcess(pid)).toBeDefined();
  }
  writeFileSync(file, 'not json');
  await next.sweep();
});
