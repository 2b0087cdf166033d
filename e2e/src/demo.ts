/** `npm run demo`. Exit code 0 only if every promise held. */
import type { FaultName } from './demo/faults.ts';
import { readDemoOptions, USAGE } from './demo/options.ts';
import { type DemoResult, runDemo } from './demo/run-demo.ts';
import { runProgram } from './program.ts';

const say = (text: string): void => void process.stderr.write(`${text}\n`);

process.exitCode = await runProgram({
  usage: USAGE,
  say,
  run: async (args, signal) => {
    const options = readDemoOptions(args);
    if (options === undefined) {
      process.stdout.write(`${USAGE}\n`);
      return 0;
    }
    const result = await runDemo(options, say, signal);
    if (options.json) process.stdout.write(`${JSON.stringify(summary(result))}\n`);
    return result.verdict.holds ? 0 : 1;
  },
});

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
