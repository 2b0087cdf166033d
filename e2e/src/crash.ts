/** `npm run test:crash`: kills, freezes and loss of power at random points, by a seed that is printed. Exit code 0 only if all held. */
import { systemRandom } from '@canopy/core';
import { type CampaignResult, runCampaign } from './crash/campaign.ts';
import { type CrashOptions, readCrashOptions, repeatCommand, USAGE } from './crash/options.ts';
import { type DatabaseCampaignResult, runDatabaseCampaign } from './database-crash/campaign.ts';
import { runProgram } from './program.ts';
import { type ReplicationCampaignResult, runReplicationCampaign } from './replication-crash/campaign.ts';

const say = (text: string): void => void process.stdout.write(`${text}\n`);

const exitCode = await runProgram({
  usage: USAGE,
  say,
  run: async (args, signal) => {
    const options = readCrashOptions(args, () => systemRandom.uuid().slice(0, 8));
    if (options === undefined) {
      say(USAGE);
      return 0;
    }
    say(`seed ${options.seed}; the same again: ${repeatCommand(options)}`);
    const results: { readonly holds: boolean }[] = [];
    const runs = (suite: CrashOptions['suite']): boolean => options.suite === 'all' || options.suite === suite;
    if (runs('database')) {
      const result = await runDatabaseCampaign(options, say, signal);
      showDatabaseResult(result);
      results.push(result);
    }
    if (runs('replication')) {
      const result = await runReplicationCampaign(options, say, signal);
      showReplicationResult(result);
      results.push(result);
    }
    if (runs('platform')) results.push(await runPlatform(options, signal));
    const holds = results.every((result) => result.holds);
    say(JSON.stringify({ holds, seed: options.seed, suites: results }));
    return holds ? 0 : 1;
  },
});
// A proxied connection that was reset may keep a handle that nothing ends; all that was started has ended by now.
process.exit(exitCode);

async function runPlatform(options: CrashOptions, signal: AbortSignal) {
  const result = await runCampaign(options, say, signal);
  showResult(result, options.rounds);
  const { acknowledged, ledger, writers } = result.verdict;
  const { lost, duplicated } = ledger;
  const { dualWriters } = writers;
  return {
    suite: 'platform',
    rounds: options.rounds,
    acknowledged,
    lost,
    duplicated,
    dualWriters,
    holds: result.holds,
  };
}

function showDatabaseResult({
  rounds,
  asked,
  acknowledged,
  readerChecks,
  problems,
  holds,
}: DatabaseCampaignResult): void {
  const ran = rounds === asked ? `${rounds} rounds` : `${rounds} of ${asked} rounds (the time was up)`;
  for (const problem of problems.slice(0, 40)) say(`  ${problem}`);
  say(
    `${holds ? 'held' : 'BROKEN'}: ${ran}, ${acknowledged} acknowledged, ${readerChecks} reads checked, ${problems.length} problems`,
  );
}

function showReplicationResult(result: ReplicationCampaignResult): void {
  const { rounds, asked, acknowledged, lostLocally, sessionReads, terms, trimmed, problems, holds } = result;
  const ran = rounds === asked ? `${rounds} rounds` : `${rounds} of ${asked} rounds (the time was up)`;
  for (const problem of problems.slice(0, 40)) say(`  ${problem}`);
  say(
    `${holds ? 'held' : 'BROKEN'}: ${ran}, ${acknowledged} acknowledged, ${lostLocally} of them only locally and lost, ` +
      `${sessionReads} reads of sessions, ${terms} terms, ${trimmed} events trimmed, ${problems.length} problems`,
  );
}

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
