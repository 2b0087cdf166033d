import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const PROGRAM = fileURLToPath(new URL('../bin/ledger.js', import.meta.url));

let dir: string;
let children: ChildProcess[];

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'ledger-'));
  children = [];
});
afterEach(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }
  rmSync(dir, { recursive: true });
});

function launch(...args: string[]): ChildProcess {
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  return child;
}

async function start(...args: string[]): Promise<{ child: ChildProcess; url: string; port: number }> {
  const child = launch('--db', join(dir, 'ledger.db'), '--port', '0', '--accounts', '4', ...args);
  for await (const line of createInterface({ input: child.stdout as NodeJS.ReadableStream })) {
    const { port } = JSON.parse(line) as { port: number };
    return { child, port, url: `http://127.0.0.1:${port}` };
  }
  throw new Error(`the ledger ended before it listened: exit ${child.exitCode}`);
}

async function put(url: string, id: string, amount = 1): Promise<number> {
  const body = JSON.stringify({ from: 'acct-0', to: 'acct-1', amount });
  const response = await fetch(`${url}/transfers/${id}`, { method: 'PUT', body });
  await response.arrayBuffer();
  return response.status;
}

async function get<T>(url: string): Promise<T> {
  return (await (await fetch(url)).json()) as T;
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<[number | null, NodeJS.Signals | null]> {
  const exited = once(child, 'exit');
  child.kill(signal);
  return (await exited) as [number | null, NodeJS.Signals | null];
}

describe('the program', () => {
  it('serves, ends gracefully on SIGTERM, and continues from its database', async () => {
    const journal = join(dir, 'journal');
    const first = await start('--journal', journal);
    expect(await get(`${first.url}/healthz`)).toEqual({ status: 'ok' });
    expect(await put(first.url, 't1')).toBe(201);
    expect(await put(first.url, 't1')).toBe(200);
    expect(await put(first.url, 't1', 2)).toBe(409);
    expect(await end(first.child, 'SIGTERM')).toEqual([0, null]);
    expect(existsSync(join(dir, 'ledger.db-wal'))).toBe(false);

    const lines = readFileSync(journal, 'utf8').trimEnd().split('\n');
    const now = Number(process.hrtime.bigint()) / 1e6;
    expect(lines).toHaveLength(1);
    const line = JSON.parse(lines[0] as string) as { id: string; at: number; pid: number };
    expect(line).toMatchObject({ id: 't1', pid: first.child.pid });
    expect(line.at).toBeLessThan(now);
    expect(line.at).toBeGreaterThan(now - 60_000);

    const second = await start('--balance', '5');
    expect(await get(`${second.url}/sum`)).toEqual({ balance: 4000, opening: 4000, accounts: 4, transfers: 1 });
    expect(await put(second.url, 't1')).toBe(200);
  });

  it('answers a request that had begun before SIGTERM, and takes no new ones', async () => {
    const { child, url, port } = await start();
    const body = JSON.stringify({ from: 'acct-0', to: 'acct-1', amount: 1 });
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.write(
      `PUT /transfers/slow HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n${body.slice(0, 5)}`,
    );
    // The server has read the half request once it has answered one that came after it.
    expect(await put(url, 'fast')).toBe(201);
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    await refused(port);
    socket.write(body.slice(5));
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    await once(socket, 'close');
    expect(answer).toMatch(/^HTTP\/1\.1 201 [\s\S]*connection: close/i);
    expect(await exited).toEqual([0, null]);
  });

  it('keeps every acknowledged transfer through SIGKILL, once', async () => {
    const { child, url } = await start();
    const acknowledged: string[] = [];
    const workers = Array.from({ length: 4 }, async (_, worker) => {
      for (let i = 0; ; i++) {
        const id = `w${worker}-${i}`;
        const status = await put(url, id).catch(() => undefined);
        if (status === undefined) return;
        acknowledged.push(id);
        if (acknowledged.length === 200) child.kill('SIGKILL');
      }
    });
    await Promise.all(workers);
    expect(acknowledged.length).toBeGreaterThanOrEqual(200);

    const again = await start();
    const { transfers } = await get<{ transfers: { id: string }[] }>(`${again.url}/transfers?limit=10000`);
    const stored = transfers.map((transfer) => transfer.id);
    expect(new Set(stored).size).toBe(stored.length);
    expect(acknowledged.filter((id) => !stored.includes(id))).toEqual([]);
    const sum = await get<{ balance: number; opening: number }>(`${again.url}/sum`);
    expect(sum.balance).toBe(sum.opening);
  });

  it.each([
    ['wrong usage', 64, () => ['--port', '0']],
    ['a database that can not be opened', 69, () => ['--db', join(dir, 'none', 'ledger.db'), '--port', '0']],
  ])('says what is wrong and ends: %s', async (_, code, args) => {
    const child = launch(...args());
    let text = '';
    child.stderr?.on('data', (chunk) => {
      text += chunk;
    });
    await once(child, 'close');
    expect(child.exitCode).toBe(code);
    expect(text).toContain('ledger: ');
  });

  it('ends with a clear message when its port is taken', async () => {
    const { port } = await start();
    const child = launch('--db', join(dir, 'other.db'), '--port', String(port));
    let text = '';
    child.stderr?.on('data', (chunk) => {
      text += chunk;
    });
    await once(child, 'close');
    expect(child.exitCode).toBe(69);
    expect(text).toContain('EADDRINUSE');
  });
});

/** Resolves when a connection to the port is refused. */
async function refused(port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, '127.0.0.1');
    const isRefused = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(false));
      socket.once('error', () => resolve(true));
    });
    socket.destroy();
    if (isRefused) return;
  }
}
