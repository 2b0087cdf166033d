import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { systemClock, systemEnv } from '@canopy/core';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkLedger } from '../../src/check/index.ts';
import { HttpClient, Load, readLedger } from '../../src/load/index.ts';

const PROGRAM = createRequire(import.meta.url).resolve('@canopy/example-ledger/bin/ledger.js');

let dir: string;
let child: ChildProcess | undefined;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'load-'));
});
afterEach(async () => {
  await kill();
  rmSync(dir, { recursive: true });
});

/** Starts the ledger; port 0 picks one. Returns the port. */
async function launch(port = 0): Promise<number> {
  const args = [PROGRAM, '--db', join(dir, 'ledger.db'), '--port', String(port), '--accounts', '8'];
  child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream }))
    return (JSON.parse(line) as { port: number }).port;
  throw new Error('the ledger ended before it listened');
}

async function kill(): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

it('sees a real ledger die under it, measures the gap, and finds every acknowledged transfer again', async () => {
  const port = await launch();
  const url = `http://127.0.0.1:${port}`;
  const load = new Load(systemEnv(), { urls: [url], accounts: Array.from({ length: 8 }, (_, i) => `acct-${i}`) });
  await load.start();
  try {
    await waitFor(() => load.stats().acknowledged > 100);
    const killedAt = systemClock.monotonic();
    await kill();
    await waitFor(() => systemClock.monotonic() - killedAt > 200);
    expect(load.gap(killedAt)).toMatchObject({ open: true });
    await launch(port);
    const servedAt = systemClock.monotonic();
    await waitFor(() => load.acknowledgedSince(servedAt) > 50);
    const gap = load.gap(killedAt);
    expect(gap.ms).toBeGreaterThan(200);
    expect(gap.open).toBe(false);
    expect(gap.to).toBeGreaterThan(killedAt);
  } finally {
    await load.finish();
  }
  expect(load.stats()).toMatchObject({ pending: 0, full: false });
  expect(load.stats().unknown).toBeGreaterThan(0);

  const client = new HttpClient({ clock: systemClock, connections: 1, timeoutMs: 5000 });
  try {
    const { accounts, transfers } = await readLedger(client, url);
    const acknowledged = load.acknowledged();
    expect(acknowledged.length).toBeGreaterThan(150);
    const verdict = checkLedger({ acknowledged, finalTransfers: transfers, accounts, initialSum: 8000 });
    expect(verdict).toEqual({ lost: 0, duplicated: 0, invariant: true, details: [] });
    // The same checker must not be satisfied with a ledger that lacks one of them.
    const last = acknowledged.at(-1)?.id;
    const without = transfers.filter((transfer) => transfer.id !== last);
    expect(checkLedger({ acknowledged, finalTransfers: without, accounts, initialSum: 8000 }).lost).toBe(1);
  } finally {
    client.close();
  }
});

async function waitFor(condition: () => boolean): Promise<void> {
  while (!condition()) await systemClock.sleep(5);
}
