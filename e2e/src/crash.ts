/** `npm run test:crash`: kills and freezes at random points, by a seed that is printed. Exit code 0 only if all held. */
import { CanopyError, systemRandom } from '@canopy/core';
import { type CampaignResult, runCampaign } from './crash/campaign.ts';
import { readCrashOptions, repeatCommand, USAGE } from './crash/options.ts';
import { UsageError } from './demo/options.ts';

process.exitCode = await main();

async function main(): Promise<number> {
  const say = (text: string): void => void process.stdout.write(`${text}\n`);
  const interrupted = new AbortController();
  const onSignal = (): void => {
    if (interrupted.signal.aborted) process.exit(130);
    say('\ninterrupted: stopping what was started');
    interrupted.abort(new DOMException('interrupted', 'AbortError'));
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  let repeat = '';
  try {
    const options = readCrashOptions(process.argv.slice(2), () => systemRandom.uuid().slice(0, 8));
    if (options === undefined) {
      say(USAGE);
      return 0;
    }
    repeat = repeatCommand(options);
    say(`seed ${options.seed}; the same again: ${repeat}`);
    const result = await runCampaign(options, say, interrupted.signal);
    showResult(result, options.rounds, say);
    return result.holds ? 0 : 1;
  } catch (error) {
    if (interrupted.signal.aborted) return 130;
    if (error instanceof UsageError) {
      process.stderr.write(`error: ${error.message}\n${USAGE}\n`);
      return 2;
    }
    if (CanopyError.is(error))
      say(`error: ${error.message} (${error.code})${error.hint === undefined ? '' : `\nhint:  ${error.hint}`}`);
    else say(`error: ${error instanceof Error ? error.stack : String(error)}`);
    return 1;
  }
}

function showResult({ verdict, leftovers, holds }: CampaignResult, rounds: number, say: (text: string) => void): void {
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
