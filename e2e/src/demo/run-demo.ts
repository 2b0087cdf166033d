/** The whole demo: cluster up, load on, five faults, verdict, everything gone again. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatDuration, systemEnv } from '@canopy/core';
import { ControlClient } from '@canopy/platform';
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

export async function runDemo(options: DemoOptions, say: Say, signal: AbortSignal): Promise<DemoResult> {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'canopy-demo-'));
  try {
    return await onStage(directory, options, say, signal);
  } finally {
    if (options.keep) say(`logs and databases are in ${directory}`);
    else rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function onStage(directory: string, options: DemoOptions, say: Say, signal: AbortSignal): Promise<DemoResult> {
  const env = systemEnv();
  const { ttlMs, ratePerSecond } = options;
  await using stage = await Stage.raise({ directory, ttlMs, ratePerSecond, name: 'canopy-demo', say, signal }, env);
  const { load, view } = stage;

  const rounds: Round[] = [];
  for (const fault of faults(new ControlClient(stage.session, stage.cluster.platform), env.clock)) {
    const round = await runRound(fault, { load, view, clock: env.clock, ttlMs, signal });
    showRound(say, rounds.length, round, ttlMs);
    rounds.push(round);
  }

  const verdict = await stage.judge(rounds.flatMap(({ wake }) => (wake === undefined ? [] : [wake])));
  const { p50Ms, p99Ms, unknown } = load.stats();
  say('');
  say(`load done: ${formatDuration(p50Ms)} p50, ${formatDuration(p99Ms)} p99; ${unknown} requests had to be repeated`);
  showVerdict(say, rounds, verdict);
  return { rounds, verdict, ttlMs };
}
