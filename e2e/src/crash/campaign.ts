/**
 * A crash campaign: a cluster under load, one planned fault after another, each followed by waiting until the cluster is
 * whole again, and the demo's verdict at the end. What was started has ended when it returns, and that is part of the
 * verdict.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Env, systemEnv } from '@canopy/core';
import type { Wake } from '../check/index.ts';
import { Stage } from '../demo/stage.ts';
import type { Verdict } from '../demo/verdict.ts';
import { strike } from './blows.ts';
import { Census } from './census.ts';
import type { CrashOptions } from './options.ts';
import { type PlannedRound, planRounds } from './plan.ts';

/** Short, because rounds wait for it; long enough that a busy machine does not lose leases by itself. */
const TTL_MS = 2000;
const RATE_PER_SECOND = 40;
/** Writes that must be served after the cluster is whole before the next round begins. */
const SERVED_AGAIN = 10;
const WHOLE_TIMEOUT_MS = 60_000;
/** For a blow to show, so that the picture of a moment ago is not taken for the cluster's recovery. */
const SHOWS_AFTER_MS = 300;

export interface CampaignResult {
  readonly verdict: Verdict;
  /** Processes that outlived the cluster. */
  readonly leftovers: readonly string[];
  readonly holds: boolean;
}

/** Rejects when the cluster did not become whole again; the directory is kept then, and `say` has told where it is. */
export async function runCampaign(
  options: CrashOptions,
  say: (text: string) => void,
  signal: AbortSignal,
): Promise<CampaignResult> {
  const directory = mkdtempSync(join(tmpdir(), 'canopy-crash-'));
  const census = new Census(directory);
  const env = systemEnv();
  let holds = false;
  try {
    const verdict = await onStage(directory, census, options, say, signal, env).finally(() => census.wake());
    const leftovers = await census.endLeftovers(env.clock);
    holds = verdict.holds && leftovers.length === 0;
    return { verdict, leftovers, holds };
  } finally {
    for (const line of await census.endLeftovers(env.clock)) say(`ended what was left: ${line}`);
    const failed = !holds && !signal.aborted;
    if (failed || options.keep) say(`logs and databases are in ${directory}`);
    else rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function onStage(
  directory: string,
  census: Census,
  options: CrashOptions,
  say: (text: string) => void,
  signal: AbortSignal,
  env: Env,
): Promise<Verdict> {
  const stageOptions = { directory, ttlMs: TTL_MS, ratePerSecond: RATE_PER_SECOND, name: 'canopy-crash', say, signal };
  await using stack = new AsyncDisposableStack();
  const stage = stack.use(await Stage.raise(stageOptions, env));
  // Before the cluster's own end: what is stopped could not follow it.
  stack.defer(() => census.wake());
  const wakes: Wake[] = [];
  const plan = planRounds(options.seed, options.rounds, TTL_MS);
  for (const [index, round] of plan.entries()) {
    const wake = await runRound(round, `round ${index + 1}/${plan.length}`, stage, { census, env, say, signal });
    if (wake !== undefined) wakes.push(wake);
  }
  return await stage.judge(wakes, { observerMayBeBlind: true });
}

interface RoundContext {
  readonly census: Census;
  readonly env: Env;
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
}

async function runRound(
  round: PlannedRound,
  label: string,
  stage: Stage,
  { census, env: { clock }, say, signal }: RoundContext,
): Promise<Wake | undefined> {
  const { view, load } = stage;
  const before = await view.whole({ timeoutMs: WHOLE_TIMEOUT_MS, signal });
  await clock.sleep(round.delayMs, { signal });
  const standbys = stage.nodes.filter((node) => node !== before.node);
  const victim = round.victim === 'active' ? before.node : standbys[round.standby % standbys.length];
  if (victim === undefined) throw new Error('a campaign needs standbys');
  const everything = [stage.cluster.nats.pid, ...stage.nodes.map((node) => node.process.pid)];
  for (const pid of everything) census.note(pid);

  const blow = await strike(round, victim, stage, clock);
  try {
    await clock.sleep(Math.max(round.lastsMs, SHOWS_AFTER_MS), { signal });
    const wake = await blow.heal();
    const healedAt = clock.monotonic();
    const after = await view.whole({ timeoutMs: WHOLE_TIMEOUT_MS, signal });
    const wholeAt = clock.monotonic();
    while (load.acknowledgedSince(wholeAt) < SERVED_AGAIN) {
      if (clock.monotonic() - wholeAt > WHOLE_TIMEOUT_MS) throw new Error('the cluster is whole and serves no writes');
      await clock.sleep(20, { signal });
    }
    const gap = Math.round(load.gap(blow.struckAt, clock.monotonic()).ms);
    const lasted = round.lastsMs === 0 ? '' : ` for ${round.lastsMs} ms`;
    const moved = after.node === before.node ? `${after.node.name} stays active` : `${after.node.name} takes over`;
    const whole = Math.round(wholeAt - healedAt);
    say(
      `${label}  ${verb(round)} ${blow.target}${lasted}: ${moved}; writes paused ${gap} ms, whole ${whole} ms after healing`,
    );
    return wake;
  } catch (error) {
    if (!signal.aborted) say(`${label}  ${verb(round)} ${blow.target}: the cluster did not recover`);
    throw error;
  }
}

function verb({ kind }: PlannedRound): string {
  return kind === 'nodeFreeze' || kind === 'treeFreeze' ? 'stopped' : 'killed';
}
