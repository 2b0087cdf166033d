/** The campaign's arguments. */
import { parseArgs } from 'node:util';
import { UsageError } from '../demo/options.ts';

export interface CrashOptions {
  readonly rounds: number;
  readonly seed: string;
  /** Leave the directory with logs and databases, also when all went well. */
  readonly keep: boolean;
}

/** The whole deck once. */
const ROUNDS = 12;

export const USAGE = `usage: npm run test:crash -- [--rounds ${ROUNDS}] [--seed SEED] [--keep]
  --rounds   how many faults, one after another (1 to 10000)
  --seed     what decides them; another one each time by default
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
  return { rounds, seed, keep: values.keep === true };
}

/** The command that repeats a run. */
export function repeatCommand({ rounds, seed }: CrashOptions): string {
  return `npm run test:crash -- --rounds ${rounds} --seed ${seed}`;
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        rounds: { type: 'string' },
        seed: { type: 'string' },
        keep: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}
