/**
 * What databases cost while nobody writes: many primaries of one process, each with a database process or all in one, and
 * their share of the nats-server. Baseline of one database: a bare Node process that does nothing.
 */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { epoch, systemEnv } from '@canopy/core';
import { cpuOf, memoryOf, spawnNode, temporaryDirectory, testNatsServer } from '@canopy/testkit';
import type { Report } from '../../harness.ts';
import { openDatabase } from './databases.ts';

/** Until pauses between looks have grown, and what starting left behind is done. */
const SETTLE_MS = 8000;
/** Started at a time. */
const ABREAST = 4;
const ALL_TARGET = { of: 'value', atMost: 2 } as const;

export interface IdleOptions {
  readonly databases: number;
  readonly seconds: number;
  /** Whether each has a process, or all share one. */
  readonly process: 'own' | 'shared';
  /** Default 8 s. */
  readonly settleMs?: number;
}

export async function measureIdleDatabases(report: Report, options: IdleOptions): Promise<void> {
  const { databases, seconds, process: kind, settleMs = SETTLE_MS } = options;
  const { clock } = systemEnv();
  await using stack = new AsyncDisposableStack();
  const { path: directory } = stack.use(await temporaryDirectory('bench-idle'));
  const { server, connection } = stack.use(await testNatsServer({ syncAlways: true }));
  const bare = stack.use(await spawnNode(new URL('../idle/nothing.ts', import.meta.url)));
  await bare.line(/^up$/);
  const found = new Set<number>();
  let next = 0;
  const startSome = async (): Promise<void> => {
    for (let i = next++; i < databases; i = next++) {
      const path = join(directory, `${i}.db`);
      const { database, pid } = await openDatabase({ path, app: `app${i}`, node: 'n1', connection }, { process: kind });
      stack.defer(() => database.stop());
      await database.promote({ epoch: epoch(1), signal: AbortSignal.timeout(60_000) });
      using application = new DatabaseSync(path);
      application.exec('CREATE TABLE t (id INTEGER PRIMARY KEY)');
      await database.sync();
      found.add(pid);
    }
  };
  await Promise.all(Array.from({ length: ABREAST }, startSome));
  await clock.sleep(settleMs);
  const pids = [...found];
  const all = [...pids, server.pid, bare.pid, process.pid];
  const before = all.map(cpuMs);
  const from = clock.monotonic();
  await clock.sleep(seconds * 1000);
  const passedMs = clock.monotonic() - from;
  const shares = all.map((pid, i) => ((cpuMs(pid) - (before[i] as number)) * 100) / passedMs);
  const [ofServer, ofBare, ofUs] = shares.slice(pids.length) as [number, number, number];
  const total = shares.slice(0, pids.length).reduce((sum, share) => sum + share, 0);
  const core = '% of a core';
  const many = kind === 'own' ? `idle_${databases}_databases` : `idle_${databases}_databases_shared`;
  const one = kind === 'own' ? 'idle_database' : 'idle_database_shared';
  report.figure(`${many}.cpu`, core, total + ofUs, undefined, ALL_TARGET);
  report.figure(`${many}.cpu_of_their_parent`, core, ofUs);
  report.figure(`${many}.cpu_of_nats_server`, core, ofServer);
  report.figure(`${one}.cpu`, core, total / databases, ofBare);
  const memory = pids.map(anonMb).reduce((sum, mb) => sum + mb, 0) / databases;
  report.figure(`${one}.rss_anon`, 'MB', memory, anonMb(bare.pid));
}

function cpuMs(pid: number): number {
  const cpu = cpuOf(pid);
  if (cpu === undefined) throw new Error(`process ${pid} is gone`);
  return cpu.totalMs;
}

function anonMb(pid: number): number {
  return ((memoryOf(pid)?.rssAnonKb ?? Number.NaN) * 1024) / 1e6;
}
