/** The whole demo: cluster up, load on, five faults, verdict, everything gone again. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Env, formatDuration, systemEnv } from '@canopy/core';
import { ControlClient } from '@canopy/platform';
import { Census } from '../crash/census.ts';
import { faults } from './faults.ts';
import type { DemoOptions } from './options.ts';
import { type Round, runRound } from './round.ts';
import { type Say, showRound, showVerdict } from './screen.ts';
import { Stage } from './stage.ts';
import type { Verdict } from './verdict.ts';

export interface DemoResult {
  readonly rounds: readonly Round[];
  readonly verdict: Verdict;
  readonly ttlMs: number;
}

/** Rejects when something of it was still running afterwards; none of it runs then. */
export async function runDemo(options: DemoOptions, say: Say, signal: AbortSignal): Promise<DemoResult> {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'canopy-demo-'));
  const env = systemEnv();
  const census = new Census(directory);
  try {
    const result = await onStage(directory, census, options, say, signal, env);
    const leftovers = await census.endLeftovers(env.clock);
    if (leftovers.length > 0) throw new Error(`still running after the end:\n${leftovers.join('\n')}`);
    return result;
  } finally {
    await census.endLeftovers(env.clock);
    if (options.keep) say(`logs and databases are in ${directory}`);
    else rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function onStage(
  directory: string,
  census: Census,
  options: DemoOptions,
  say: Say,
  signal: AbortSignal,
  env: Env,
): Promise<DemoResult> {
  const { ttlMs, ratePerSecond } = options;
  await using stage = await Stage.raise({ directory, ttlMs, ratePerSecond, name: 'canopy-demo', say, signal }, env);
  const { load, view } = stage;

  const rounds: Round[] = [];
  for (const fault of faults(new ControlClient(stage.session, stage.cluster.platform), env.clock)) {
    for (const pid of [stage.cluster.nats.pid, ...stage.nodes.map((node) => node.process.pid)]) census.note(pid);
    const round = await runRound(fault, { load, view, clock: env.clock, ttlMs, signal });
    showRound(say, rounds.length, round, ttlMs);
    rounds.push(round);
  }

  const wakes = rounds.flatMap(({ wake }) => (wake === undefined ? [] : [wake]));
  const verdict = await stage.judge(wakes, { observerMayBeBlind: false });
  const { p50Ms, p99Ms, unknown } = load.stats();
  say('');
  say(`load done: ${formatDuration(p50Ms)} p50, ${formatDuration(p99Ms)} p99; ${unknown} requests had to be repeated`);
  showVerdict(say, rounds, verdict);
  return { rounds, verdict, ttlMs };
}
