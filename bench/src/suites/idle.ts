/**
 * What a cluster of three nodes takes while nothing happens, by kind of process, the mean of the three nodes (a backend
 * runs on one of them only). Baseline of the memory: a bare Node process that does nothing.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ProcessId, systemEnv } from '@canopy/core';
import { ClusterView, type NodeProcessInfo, nodeProcesses, type ProcessKind, playCluster } from '@canopy/e2e';
import { cpuOf, memoryOf, spawnNode } from '@canopy/testkit';
import type { Suite } from '../harness.ts';

const TTL_MS = 10_000;
const KINDS: readonly ProcessKind[] = ['node', 'warden', 'database', 'backend'];

export const suite: Suite = async (report, { quick }) => {
  const { clock } = systemEnv();
  const directory = mkdtempSync(join(tmpdir(), 'canopy-bench-'));
  const signal = AbortSignal.timeout(300_000);
  try {
    await using bare = await spawnNode(new URL('./idle/nothing.ts', import.meta.url));
    await bare.line(/^up$/);
    await using cluster = playCluster({ directory, ttlMs: TTL_MS, say: report.note }, systemEnv());
    await cluster.start({ signal });
    await new ClusterView(cluster.nodes, 'ledger', clock).whole({ signal, timeoutMs: 60_000 });
    await clock.sleep(quick ? 500 : 10_000);
    const processes = cluster.nodes.flatMap((node) => nodeProcesses(node.process.pid as number));
    const own = [...processes, { id: { pid: cluster.nats.pid, startTicks: 0 }, kind: 'nats-server' as const }];
    const before = own.map(({ id }) => cpuMs(id));
    const from = clock.monotonic();
    await clock.sleep(quick ? 1000 : 20_000);
    const passedMs = clock.monotonic() - from;
    const used = own.map(({ id }, i) => ((cpuMs(id) - (before[i] as number)) * 100) / passedMs);

    const bareMb = memoryMb({ pid: bare.pid, startTicks: 0 });
    for (const kind of [...KINDS, 'nats-server' as const]) {
      const indices = own.flatMap((one, i) => (one.kind === kind ? [i] : []));
      if (indices.length === 0) throw new Error(`no ${kind} process was found`);
      const name = kind.replace('-', '_');
      const memory = mean(indices.map((i) => memoryMb((own[i] as NodeProcessInfo).id)));
      report.figure(`${name}.rss_anon`, 'MB', memory, kind === 'nats-server' ? undefined : bareMb);
      report.figure(`${name}.cpu`, '% of a core', mean(indices.map((i) => used[i] as number)));
    }
  } finally {
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
};

function memoryMb({ pid }: ProcessId): number {
  const memory = memoryOf(pid);
  if (memory === undefined) throw new Error(`process ${pid} is gone`);
  return (memory.rssAnonKb * 1024) / 1e6;
}

function cpuMs({ pid }: ProcessId): number {
  const cpu = cpuOf(pid);
  if (cpu === undefined) throw new Error(`process ${pid} is gone`);
  return cpu.totalMs;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
