/** What the process tests share: a backend in a temporary directory, a free port, and waiting for conditions. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type GuardedProcess,
  type ProcessGuard,
  type ProcessId,
  seededRandom,
  systemClock,
  systemEnv,
} from '@canopy/core';
import { type LogLine, memoryLogger, memoryMetrics } from '@canopy/core/testing';
import { type ProcessBackend, type ProcessBackendOptions, processBackend } from '../../src/index.ts';

export const SERVER = fileURLToPath(new URL('../fixtures/server.mjs', import.meta.url));

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export async function until(what: string, holds: () => boolean | Promise<boolean>, timeoutMs = 15_000): Promise<void> {
  const end = systemClock.monotonic() + timeoutMs;
  while (!(await holds())) {
    if (systemClock.monotonic() > end) throw new Error(`still not: ${what}`);
    await systemClock.sleep(5);
  }
}

/** Remembers what was registered, and what still is. */
export class MemoryGuard implements ProcessGuard {
  readonly seen: GuardedProcess[] = [];
  readonly present = new Map<number, GuardedProcess>();
  refusal: Error | undefined;

  async register(process: GuardedProcess): Promise<void> {
    if (this.refusal !== undefined) throw this.refusal;
    this.seen.push(process);
    this.present.set(process.pid, process);
  }

  async unregister(process: ProcessId): Promise<void> {
    this.present.delete(process.pid);
  }
}

export interface Rig extends AsyncDisposable {
  readonly backend: ProcessBackend;
  readonly guard: MemoryGuard;
  readonly stateDir: string;
  readonly lines: LogLine[];
  readonly metric: ReturnType<typeof memoryMetrics>['value'];
  /** A second life of the same node. */
  again(options: ProcessBackendOptions): ProcessBackend;
}

export function rig(options: ProcessBackendOptions): Rig {
  const stateDir = mkdtempSync(join(tmpdir(), 'canopy-backend-'));
  const { log, lines } = memoryLogger();
  const { metrics, value } = memoryMetrics();
  const guard = new MemoryGuard();
  // The mark must be unlike that of any other test on this machine.
  const env = systemEnv({ log, metrics, random: { ...seededRandom(7), uuid: systemEnv().random.uuid } });
  const opened: ProcessBackend[] = [];
  const again = (given: ProcessBackendOptions): ProcessBackend => {
    const made = processBackend(given).open({ platform: 'test', app: 'shop', node: 'n1', env, guard, stateDir });
    opened.push(made);
    return made;
  };
  return {
    backend: again(options),
    guard,
    stateDir,
    lines,
    metric: value,
    again,
    async [Symbol.asyncDispose]() {
      await Promise.all(opened.map((each) => each.stop({ graceMs: 0 })));
      rmSync(stateDir, { recursive: true, force: true });
    },
  };
}

export function serve(port: number, ...habits: string[]): string[] {
  return [process.execPath, SERVER, String(port), ...habits];
}

/** A signal that never aborts. */
export const CALM = new AbortController().signal;

/** "stray 123" in the backend's output: 123. */
export function pidFrom(backend: ProcessBackend, word: string): number {
  const line = backend.logs().find(({ text }) => text.startsWith(`${word} `));
  if (line === undefined) throw new Error(`no "${word}" in the output`);
  return Number(line.text.split(' ')[1]);
}
