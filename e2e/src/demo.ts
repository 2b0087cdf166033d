/** `npm run demo`. Exit code 0 only if every promise held. */
import { CanopyError } from '@canopy/core';
import type { FaultName } from './demo/faults.ts';
import { readDemoOptions, USAGE, UsageError } from './demo/options.ts';
import { type DemoResult, runDemo } from './demo/run-demo.ts';

process.exitCode = await main();

async function main(): Promise<number> {
  const say = (text: string): void => void process.stderr.write(`${text}\n`);
  const interrupted = new AbortController();
  const onSignal = (): void => {
    if (interrupted.signal.aborted) process.exit(130);
    say('\ninterrupted: stopping what was started');
    interrupted.abort(new DOMException('interrupted', 'AbortError'));
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  try {
    const options = readDemoOptions(process.argv.slice(2));
    if (options === undefined) {
      process.stdout.write(`${USAGE}\n`);
      return 0;
    }
    const result = await runDemo(options, say, interrupted.signal);
    if (options.json) process.stdout.write(`${JSON.stringify(summary(result))}\n`);
    return result.verdict.holds ? 0 : 1;
  } catch (error) {
    if (interrupted.signal.aborted) return 130;
    if (error instanceof UsageError) {
      say(`error: ${error.message}\n${USAGE}`);
      return 2;
    }
    if (CanopyError.is(error))
      say(`error: ${error.message} (${error.code})${error.hint === undefined ? '' : `\nhint:  ${error.hint}`}`);
    else say(`error: ${error instanceof Error ? error.stack : String(error)}`);
    return 1;
  }
}

function summary({ rounds, verdict, ttlMs }: DemoResult): object {
  const gap = (name: FaultName): number =>
    Math.round(rounds.find(({ fault }) => fault.name === name)?.gapMs ?? Number.NaN);
  return {
    handoverMs: gap('handover'),
    nodeKillMs: gap('nodeKill'),
    treeKillMs: gap('treeKill'),
    nodeFreezeMs: gap('nodeFreeze'),
    treeFreezeMs: gap('treeFreeze'),
    ttlMs,
    acknowledged: verdict.acknowledged,
    lost: verdict.ledger.lost,
    duplicated: verdict.ledger.duplicated,
    invariant: verdict.ledger.invariant,
    dualWriters: verdict.writers.dualWriters,
  };
}
