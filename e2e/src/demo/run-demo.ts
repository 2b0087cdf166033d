/** The whole demo: cluster up, load on, five faults, verdict, everything gone again. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exampleTemplates, LocalCluster } from '@canopy/cli';
import { formatDuration, systemEnv } from '@canopy/core';
import { connectNats } from '@canopy/nats';
import { ControlClient } from '@canopy/platform';
import { HttpClient, Load, readLedger } from '../load/index.ts';
import { ClusterView } from './cluster-view.ts';
import { faults } from './faults.ts';
import { LeaseRecorder } from './lease-recorder.ts';
import type { DemoOptions } from './options.ts';
import { type Round, runRound } from './round.ts';
import { type Say, showRound, showVerdict } from './screen.ts';
import { reachVerdict, type Verdict } from './verdict.ts';

export const APP = 'ledger';
const NODES = 3;

export interface DemoResult {
  readonly rounds: readonly Round[];
  readonly verdict: Verdict;
  readonly ttlMs: number;
}

export async function runDemo(options: DemoOptions, say: Say, signal: AbortSignal): Promise<DemoResult> {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'canopy-demo-'));
  try {
    return await onCluster(directory, options, say, signal);
  } finally {
    if (options.keep) say(`logs and databases are in ${directory}`);
    else rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function onCluster(directory: string, options: DemoOptions, say: Say, signal: AbortSignal): Promise<DemoResult> {
  const env = systemEnv();
  const { clock } = env;
  const templates = exampleTemplates(APP);
  const cluster = new LocalCluster(
    {
      directory,
      nodes: NODES,
      platform: templates.platform,
      apps: templates.apps,
      appsDirectory: templates.directory,
      ttl: options.ttlMs,
      onProgress: say,
    },
    env,
  );
  await using stack = new AsyncDisposableStack();
  stack.use(cluster);
  await cluster.start({ signal });
  const session = stack.use(await connectNats(cluster.connection, { name: 'canopy-demo', env }));
  const view = new ClusterView(cluster.nodes, APP, clock);
  const first = await view.active({ timeoutMs: 60_000, signal });
  say(`${first.node.name} is active; ${NODES - 1} standbys`);

  const recorder = new LeaseRecorder(clock, options.ttlMs);
  recorder.start(await session.kv(`${templates.platform}_election`), APP);
  stack.defer(() => recorder.stop());

  const urls = cluster.nodes.map((node) => node.proxyUrls[APP] as string);
  const client = new HttpClient({ clock, connections: 4, timeoutMs: 10_000 });
  stack.defer(() => client.close());
  const opening = await readLedger(client, urls[0] as string);
  const load = new Load(env, {
    urls,
    accounts: opening.accounts.map((account) => account.id),
    ratePerSecond: options.ratePerSecond,
    workers: 12,
    timeoutMs: 2500,
  });
  stack.use(load);
  await load.start();
  say(`load: ${options.ratePerSecond} transfers per second through the proxies of all nodes`);
  const warmFrom = clock.monotonic();
  while (load.acknowledgedSince(warmFrom) < options.ratePerSecond) await clock.sleep(50, { signal });

  const rounds: Round[] = [];
  for (const fault of faults(new ControlClient(session, templates.platform), clock)) {
    const round = await runRound(fault, { load, view, clock, ttlMs: options.ttlMs, signal });
    showRound(say, rounds.length, round, options.ttlMs);
    rounds.push(round);
  }

  await load.finish(15_000);
  const { p50Ms, p99Ms, unknown } = load.stats();
  say('');
  say(`load done: ${formatDuration(p50Ms)} p50, ${formatDuration(p99Ms)} p99; ${unknown} requests had to be repeated`);
  const active = await view.active({ signal });
  const verdict = await reachVerdict({
    load,
    nodes: cluster.nodes,
    initialSum: opening.accounts.reduce((sum, account) => sum + account.balance, 0),
    final: await readLedger(client, active.node.proxyUrls[APP] as string),
    leases: recorder.intervals(),
    wakes: rounds.flatMap(({ wake }) => (wake === undefined ? [] : [wake])),
    clock,
  });
  showVerdict(say, rounds, verdict);
  return { rounds, verdict, ttlMs: options.ttlMs };
}
