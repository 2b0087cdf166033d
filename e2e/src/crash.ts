/** `npm run test:crash`: kills and freezes at random points, by a seed that is printed. Exit code 0 only if all held. */
import { systemRandom } from '@canopy/core';
import { type CampaignResult, runCampaign } from './crash/campaign.ts';
import { readCrashOptions, repeatCommand, USAGE } from './crash/options.ts';
import { runProgram } from './program.ts';

const say = (text: string): void => void process.stdout.write(`${text}\n`);

process.exitCode = await runProgram({
  usage: USAGE,
  say,
  run: async (args, signal) => {
    const options = readCrashOptions(args, () => systemRandom.uuid().slice(0, 8));
    if (options === undefined) {
      say(USAGE);
      return 0;
    }
    say(`seed ${options.seed}; the same again: ${repeatCommand(options)}`);
    const result = await runCampaign(options, say, signal);
    showResult(result, options.rounds);
    return result.holds ? 0 : 1;
  },
});

function showResult({ verdict, leftovers, holds }: CampaignResult, rounds: number): void {
  const { ledger, writers, unequal, acknowledged } = verdict;
  for (const line of [...ledger.details, ...writers.details, ...unequal, ...leftovers].slice(0, 40)) say(`  ${line}`);
  const money = ledger.invariant ? 'money kept' : 'MONEY NOT KEPT';
  say(
    `${holds ? 'held' : 'BROKEN'}: ${rounds} rounds, ${acknowledged} acknowledged, ${ledger.lost} lost, ` +
      `${ledger.duplicated} duplicated, ${money}, ${writers.dualWriters} dual writers, ` +
      `${writers.unleased} commits after a lease ran out, ` +
      `${writers.epochsOutOfOrder} epochs out of order, ${unequal.length} unequal copies, ${leftovers.length} processes left`,
  );
}
