/**
 * How long writes are not served when the active node is lost, in each of the demo's five ways, as the load on three real
 * node processes sees it. Baseline, where the lease has to run out first: the lease time.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemEnv } from '@canopy/core';
import { faults, runRound, Stage } from '@canopy/e2e';
import { ControlClient } from '@canopy/platform';
import type { Suite } from '../harness.ts';
import { Samples } from '../samples.ts';

const TTL_MS = 3000;
const RATE_PER_SECOND = 60;
const SHORT_ROUNDS = 20;
const LONG_ROUNDS = 3;

export const suite: Suite = async (report, { quick }) => {
  const directory = mkdtempSync(join(tmpdir(), 'canopy-bench-'));
  const { signal, dispose } = interruption();
  try {
    const env = systemEnv();
    const say = report.note;
    const options = { directory, ttlMs: TTL_MS, ratePerSecond: RATE_PER_SECOND, name: 'canopy-bench', say, signal };
    await using stage = await Stage.raise(options, env);
    const { view, load, session, cluster } = stage;
    const wakes = [];
    for (const fault of faults(new ControlClient(session, cluster.platform), env.clock)) {
      const gaps = new Samples();
      const rounds = quick ? 1 : fault.waitsForLease ? LONG_ROUNDS : SHORT_ROUNDS;
      for (let i = 0; i < rounds; i++) {
        const round = await runRound(fault, { load, view, clock: env.clock, ttlMs: TTL_MS, signal });
        if (round.wake !== undefined) wakes.push(round.wake);
        gaps.add(round.gapMs);
        await view.whole({ signal, timeoutMs: 60_000 });
      }
      const baseline = fault.waitsForLease ? TTL_MS : undefined;
      report.figure(`${fault.name}.p50`, 'ms', gaps.p50, baseline);
      report.figure(`${fault.name}.p99`, 'ms', gaps.p99, baseline);
    }
    const { p50Ms, p99Ms } = load.stats();
    report.figure('write.p50', 'ms', p50Ms);
    report.figure('write.p99', 'ms', p99Ms);
    const verdict = await stage.judge(wakes, { observerMayBeBlind: false });
    report.note(`${verdict.acknowledged} writes acknowledged, ${verdict.ledger.lost} lost`);
    if (!verdict.holds) throw new Error(`a promise was broken: ${JSON.stringify(verdict)}`);
  } finally {
    dispose();
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
};

/** ctrl-C ends the cluster, too. */
function interruption(): { readonly signal: AbortSignal; dispose(): void } {
  const controller = new AbortController();
  const abort = (): void => controller.abort(new DOMException('interrupted', 'AbortError'));
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, abort);
  return {
    signal: controller.signal,
    dispose: () => {
      for (const name of ['SIGINT', 'SIGTERM'] as const) process.off(name, abort);
    },
  };
}
