/** The parts of the gate in their order: what each runs, and how long it may take. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

export interface Part {
  readonly name: string;
  /** The program and its arguments, run from the root under this Node. */
  readonly command: readonly string[];
  /** A vitest run, whose tests are counted one by one. */
  readonly isVitest: boolean;
  /** Needs a nats-server. */
  readonly needsServer: boolean;
  readonly timeoutMs: number;
  /** Why it can't be run here, or undefined. */
  readonly skip: string | undefined;
}

/** `--only check` means all of these. */
export const CHECKS: readonly string[] = ['types', 'lint', 'tidy', 'errors'];

const MINUTE_MS = 60_000;

export function listParts(root: string): readonly Part[] {
  const crash = 'e2e/src/crash.ts';
  const skip = existsSync(join(root, crash)) ? undefined : `${crash} is not there`;
  const campaign = (name: string, args: readonly string[]): Part => ({
    ...check(name, [crash, ...args]),
    needsServer: true,
    timeoutMs: 5 * MINUTE_MS,
    skip,
  });
  return [
    check('types', ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.json']),
    check('lint', ['node_modules/@biomejs/biome/bin/biome', 'check', '.']),
    check('tidy', ['scripts/tidy.ts']),
    check('errors', ['scripts/errors.ts', '--check']),
    vitest('unit', 8 * MINUTE_MS),
    vitest('sim', 5 * MINUTE_MS),
    // Real processes on a machine that others use: one more try, and the summary names whoever needed it.
    { ...vitest('integration', 30 * MINUTE_MS, ['--retry', '1']), needsServer: true },
    campaign('crash', ['--suite', 'platform']),
    campaign('crash-database', ['--suite', 'database', '--rounds', '30', '--within', '120']),
  ];
}

/** The parts that `only` names (comma-separated; all when undefined). Throws for a name that is none. */
export function selectParts(parts: readonly Part[], only: string | undefined): readonly Part[] {
  if (only === undefined) return parts;
  const names = only.split(',').flatMap((name) => (name === 'check' ? CHECKS : [name]));
  const unknown = names.find((name) => !parts.some((part) => part.name === name));
  if (unknown !== undefined) {
    const known = ['check', ...parts.map((part) => part.name)].join(', ');
    throw new Error(`--only: "${unknown}" is no part of the tests; there are ${known}`);
  }
  return parts.filter((part) => names.includes(part.name));
}

function check(name: string, command: readonly string[]): Part {
  return { name, command, isVitest: false, needsServer: false, timeoutMs: 3 * MINUTE_MS, skip: undefined };
}

function vitest(project: string, timeoutMs: number, flags: readonly string[] = []): Part {
  const command = ['node_modules/vitest/vitest.mjs', 'run', '--project', project, '--passWithNoTests'];
  const reporters = ['--reporter', 'default', '--reporter', './scripts/gate/reporter.ts'];
  return { ...check(project, [...command, ...flags, ...reporters]), isVitest: true, timeoutMs };
}
