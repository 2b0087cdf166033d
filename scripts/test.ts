/**
 * `npm test`: everything that a change must pass, part after part; a failing part does not keep the others from running.
 * `--only unit,tidy` selects parts. The last line is `N passed, N failed, N skipped`; the exit code is 1 when anything
 * failed or nothing was run.
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { OnProgress } from '@canopy/nats/server';
import { type PartOutcome, summarise } from './gate/outcome.ts';
import { listParts, type Part, selectParts } from './gate/parts.ts';
import { runPart } from './gate/run-part.ts';

const NODE_MAJOR = 24;
const EXIT_USAGE = 64;

async function main(): Promise<number> {
  const { version, execPath } = process;
  if (!version.startsWith(`v${NODE_MAJOR}.`)) {
    say(`The tests run under Node ${NODE_MAJOR}; this is ${version} (${execPath}).`);
    say('Run `npm ci` once and start them with `npm test`: the checkout brings its own Node through npm.');
    return 1;
  }
  const { values } = parseArgs({ options: { only: { type: 'string' } } });
  const root = fileURLToPath(new URL('..', import.meta.url));
  const parts = selectParts(listParts(root), values.only);
  const outcomes: PartOutcome[] = [];
  const variables: Record<string, string> = {};
  if (parts.some((part) => part.needsServer && part.skip === undefined)) {
    const { path, outcome } = await findServer();
    if (path !== undefined) variables.CANOPY_NATS_SERVER = path;
    outcomes.push(outcome);
  }
  for (const part of parts) outcomes.push(await run(part, root, variables));

  const { text, exitCode } = summarise(outcomes);
  say(`\n== summary\n${text}`);
  return exitCode;
}

async function run(part: Part, root: string, variables: Readonly<Record<string, string>>): Promise<PartOutcome> {
  say(`\n== ${part.name}`);
  if (part.skip !== undefined) {
    say(`skipped: ${part.skip}`);
    return { part: part.name, verdict: 'skipped', reason: part.skip, ms: 0, tests: undefined };
  }
  const outcome = await runPart(part, { root, variables });
  say(`== ${part.name} ${outcome.verdict} in ${(outcome.ms / 1000).toFixed(1)} s`);
  return outcome;
}

/** Once for all parts, so that no two tests fetch one at the same time and each test's time is its own. */
async function findServer(): Promise<{ path: string | undefined; outcome: PartOutcome }> {
  say('\n== nats-server');
  const started = performance.now();
  const outcome = (verdict: PartOutcome['verdict'], reason?: string): PartOutcome => {
    return { part: 'nats-server', verdict, reason, ms: performance.now() - started, tests: undefined };
  };
  try {
    const { describeProgress, findNatsServer } = await import('@canopy/nats/server');
    const onProgress: OnProgress = (progress) => {
      if (progress.type !== 'attempt_advanced') say(describeProgress(progress));
    };
    const { path, version, source } = await findNatsServer({ onProgress });
    say(`${version} at ${path} (${source})`);
    return { path, outcome: outcome('passed', version) };
  } catch (error) {
    say((error as Error).message);
    return { path: undefined, outcome: outcome('failed', (error as Error).message) };
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: Error) => {
    process.stderr.write(`${error.message}\n`);
    process.exitCode = EXIT_USAGE;
  },
);
