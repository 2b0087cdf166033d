/** The campaign's arguments. */
import { parseArgs } from 'node:util';
import { FAULTS, type FaultKind } from '../database-crash/plan.ts';
import { UsageError } from '../demo/options.ts';

export interface CrashOptions {
  readonly rounds: number;
  readonly seed: string;
  /** Leave the directory with logs and databases, also when all went well. */
  readonly keep: boolean;
  /** The database alone, the whole platform, replicated state, or one after the other. */
  readonly suite: Suite;
  /** Of the campaigns on databases and replicated state: one NATS server, or a cluster of three. */
  readonly servers: 1 | 3;
  /** Of the database's faults only this one. */
  readonly only: FaultKind | undefined;
  /** The campaigns on databases and replicated state begin no further round after this long. */
  readonly withinMs: number | undefined;
}

const SUITES = ['all', 'database', 'platform', 'replication'] as const;
export type Suite = (typeof SUITES)[number];

/** The whole deck once. */
const ROUNDS = 12;

export const USAGE = `usage: npm run test:crash -- [--rounds ${ROUNDS}] [--seed SEED] [--suite ${SUITES.join('|')}] [--servers 1|3] [--only FAULT] [--within SECONDS] [--keep]
  --rounds   how many faults, one after another (1 to 10000)
  --seed     what decides them; another one each time by default
  --suite    the database alone (also loss of power and failing disks), the whole platform, replicated state, or all
  --servers  not of the platform: 1, or 3 for a cluster of which one at a time is killed
  --only     of the database's faults only this one: ${Object.keys(FAULTS).join(', ')}
  --within   begin no further round after so many seconds (not of the platform)
  --keep     leave the directory with logs and databases, whatever comes of it`;

/** Undefined when help was asked for. Throws UsageError. `freshSeed` is used when none is given. */
export function readCrashOptions(args: readonly string[], freshSeed: () => string): CrashOptions | undefined {
  const values = parse(args);
  if (values.help === true) return undefined;
  const rounds = Number(values.rounds ?? ROUNDS);
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 10_000)
    throw new UsageError('--rounds must be a whole number from 1 to 10000');
  const seed = values.seed ?? freshSeed();
  if (!/^[\w.-]{1,64}$/.test(seed)) throw new UsageError('--seed must be 1 to 64 letters, digits, ".", "_" or "-"');
  const suite = SUITES.find((one) => one === (values.suite ?? 'all'));
  if (suite === undefined) throw new UsageError(`--suite must be one of ${SUITES.join(', ')}`);
  const servers = Number(values.servers ?? 1);
  if (servers !== 1 && servers !== 3) throw new UsageError('--servers must be 1 or 3');
  if (values.only !== undefined && !(values.only in FAULTS))
    throw new UsageError(`--only must be one of ${Object.keys(FAULTS).join(', ')}`);
  const withinMs = values.within === undefined ? undefined : Number(values.within) * 1000;
  if (withinMs !== undefined && !(withinMs > 0)) throw new UsageError('--within must be a number of seconds');
  return {
    rounds,
    seed,
    keep: values.keep === true,
    suite,
    servers,
    only: values.only as FaultKind | undefined,
    withinMs,
  };
}

/** The command that repeats a run. */
export function repeatCommand({ rounds, seed, suite, servers, only }: CrashOptions): string {
  const which = `${suite === 'all' ? '' : ` --suite ${suite}`}${only === undefined ? '' : ` --only ${only}`}`;
  const cluster = servers === 3 ? ' --servers 3' : '';
  return `npm run test:crash -- --rounds ${rounds} --seed ${seed}${which}${cluster}`;
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        rounds: { type: 'string' },
        seed: { type: 'string' },
        suite: { type: 'string' },
        only: { type: 'string' },
        servers: { type: 'string' },
        within: { type: 'string' },
        keep: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}
