/** The demo's arguments. */
import { parseArgs } from 'node:util';
import { parseDuration } from '@canopy/core';

export interface DemoOptions {
  readonly json: boolean;
  readonly ttlMs: number;
  readonly ratePerSecond: number;
  /** Keep the cluster's directory, for looking at logs afterwards. */
  readonly keep: boolean;
  readonly directory: string | undefined;
}

export const USAGE = `usage: npm run demo -- [--json] [--ttl 3s] [--rate 60] [--keep] [--dir DIRECTORY]
  --json   end with one line of JSON; everything else goes to stderr
  --ttl    how long a silent node keeps its lease (1s to 20s)
  --rate   transfers per second (1 to 500)
  --keep   leave the directory with logs and databases
  --dir    use this directory instead of a temporary one (implies --keep)`;

export class UsageError extends Error {}

export function readDemoOptions(args: readonly string[]): DemoOptions | undefined {
  const { values } = parse(args);
  if (values.help === true) return undefined;
  const ttlMs = parseDuration(values.ttl ?? '3s') ?? 0;
  if (ttlMs < 1000 || ttlMs > 20_000) throw new UsageError('--ttl must be a duration from 1s to 20s');
  const rate = Number(values.rate ?? 60);
  if (!(rate >= 1 && rate <= 500)) throw new UsageError('--rate must be a number from 1 to 500');
  return {
    json: values.json === true,
    ttlMs,
    ratePerSecond: rate,
    keep: values.keep === true || values.dir !== undefined,
    directory: values.dir,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        json: { type: 'boolean' },
        ttl: { type: 'string' },
        rate: { type: 'string' },
        keep: { type: 'boolean' },
        dir: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}
