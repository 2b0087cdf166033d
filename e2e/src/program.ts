/**
 * What the programs of this folder have in common: ctrl-C ends them in order (a second one at once), errors are told with
 * their hint, and the exit code says what happened: 0 all held, 1 not, 2 wrong usage, 130 interrupted.
 */
import { CanopyError } from '@canopy/core';
import { UsageError } from './demo/options.ts';

export interface Program {
  readonly usage: string;
  /** For people. */
  readonly say: (text: string) => void;
  /** Resolves with the exit code. */
  run(args: readonly string[], signal: AbortSignal): Promise<number>;
}

/** Runs the program in this process and resolves with its exit code. */
export async function runProgram({ usage, say, run }: Program): Promise<number> {
  const interrupted = new AbortController();
  const onSignal = (): void => {
    if (interrupted.signal.aborted) process.exit(130);
    say('\ninterrupted: stopping what was started');
    interrupted.abort(new DOMException('interrupted', 'AbortError'));
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  try {
    return await run(process.argv.slice(2), interrupted.signal);
  } catch (error) {
    if (interrupted.signal.aborted) return 130;
    if (error instanceof UsageError) {
      process.stderr.write(`error: ${error.message}\n${usage}\n`);
      return 2;
    }
    say(describe(error));
    return 1;
  }
}

function describe(error: unknown): string {
  if (!CanopyError.is(error)) return `error: ${error instanceof Error ? error.stack : String(error)}`;
  const hint = error.hint === undefined ? '' : `\nhint:  ${error.hint}`;
  return `error: ${error.message} (${error.code})${hint}`;
}
