/**
 * The crash campaign on the database alone: an application writes on one of three nodes, readers look at all of them, one
 * planned fault after another, and after each everything that was promised is checked.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemEnv } from '@canopy/core';
import { strike } from './blows.ts';
import { judge } from './judge.ts';
import { type FaultKind, type PlannedFault, planFaults } from './plan.ts';
import { compileShim } from './shim.ts';
import { DatabaseStage } from './stage.ts';

/** A restore is checked at every so many rounds, and at the last. */
const RESTORE_EVERY = 3;

export interface DatabaseCampaignOptions {
  readonly rounds: number;
  readonly seed: string;
  readonly keep: boolean;
  /** NATS servers; default 1. */
  readonly servers?: 1 | 3;
  /** Only this fault, again and again. */
  readonly only?: FaultKind | undefined;
  /** No further round begins after this long. */
  readonly withinMs?: number | undefined;
}

export interface DatabaseCampaignResult {
  readonly suite: 'database';
  readonly seed: string;
  /** Of those asked for, how many were run. */
  readonly rounds: number;
  readonly asked: number;
  readonly kinds: Readonly<Record<string, number>>;
  readonly acknowledged: number;
  readonly readerChecks: number;
  readonly problems: readonly string[];
  /** Why faults of the disk were left out. */
  readonly skipped: string | undefined;
  readonly holds: boolean;
}

export async function runDatabaseCampaign(
  options: DatabaseCampaignOptions,
  say: (text: string) => void,
  signal: AbortSignal,
): Promise<DatabaseCampaignResult> {
  const directory = mkdtempSync(join(tmpdir(), 'canopy-crash-'));
  const { seed, rounds, only, withinMs = Number.POSITIVE_INFINITY } = options;
  const env = systemEnv();
  const shim = compileShim(directory);
  const skipped = 'reason' in shim ? `power loss and failing disks: ${shim.reason}` : undefined;
  if (skipped !== undefined) say(`skipped: ${skipped}`);
  const problems: string[] = [];
  const kinds: Record<string, number> = {};
  let acknowledged = 0;
  let readerChecks = 0;
  let done = 0;
  try {
    await using stage = await DatabaseStage.raise({
      directory,
      seed,
      shim: 'path' in shim ? shim.path : undefined,
      env,
      servers: options.servers ?? 1,
    });
    const plan = planFaults(seed, rounds, 'path' in shim, only);
    const began = env.clock.monotonic();
    for (const [index, fault] of plan.entries()) {
      signal.throwIfAborted();
      if (env.clock.monotonic() - began > withinMs) break;
      const label = `round ${index + 1}/${rounds} ${fault.kind}`;
      const withRestore = index % RESTORE_EVERY === 0 || index === rounds - 1;
      const found = await runRound(stage, fault, index, directory, withRestore);
      problems.push(...found.map((problem) => `${label}: ${problem}`));
      kinds[fault.kind] = (kinds[fault.kind] ?? 0) + 1;
      done += 1;
      const total = [...stage.acknowledged.values()].reduce((sum, last) => sum + last, 0);
      say(
        `${label}: ${stage.primary.name} is primary at epoch ${stage.epoch}, ${total} acknowledged${found.length > 0 ? `, ${found.length} PROBLEMS` : ''}`,
      );
      for (const problem of found.slice(0, 10)) say(`  ${problem}`);
      if (problems.length > 0) break;
    }
    for (const node of stage.nodes) await node.killReader('SIGTERM');
    problems.push(...stage.nodes.flatMap((node) => node.torn));
    readerChecks = stage.nodes.reduce((sum, node) => sum + node.checks, 0);
    acknowledged = [...stage.acknowledged.values()].reduce((sum, last) => sum + last, 0);
    const holds = problems.length === 0;
    return {
      suite: 'database',
      seed,
      rounds: done,
      asked: rounds,
      kinds,
      acknowledged,
      readerChecks,
      problems,
      skipped,
      holds,
    };
  } finally {
    if (options.keep || (problems.length > 0 && !signal.aborted)) say(`databases are in ${directory}`);
    else rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

async function runRound(
  stage: DatabaseStage,
  fault: PlannedFault,
  index: number,
  directory: string,
  withRestore: boolean,
): Promise<readonly string[]> {
  try {
    await stage.write(`w${index + 1}`, fault.marks);
    await stage.env.clock.sleep(fault.delayMs);
    const seen = await strike(stage, fault);
    await stage.endWriter('SIGTERM');
    return [...seen, ...(await judge(stage, directory, withRestore))];
  } catch (error) {
    return [`it did not recover: ${error instanceof Error ? error.stack : String(error)}`];
  }
}
