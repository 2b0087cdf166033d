/** Runs a command to its end, bounded in time and output; it ends with us, and with its whole group when aborted. */
import { type Clock, messageOf } from '@canopy/core';
import { type ProcessExit, spawnHeld } from './held-process.ts';

/** Output beyond this is dropped from the front: the end of it says what went wrong. */
const OUTPUT_MAX = 64 * 1024;

export interface CommandResult extends ProcessExit {
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
}

export interface CommandOptions {
  readonly clock: Clock;
  readonly environment: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly cwd?: string;
  readonly signal?: AbortSignal | undefined;
}

/** Never rejects for the command's own failure (see `code`); rejects with the signal's reason when aborted. */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<CommandResult> {
  options.signal?.throwIfAborted();
  const held = await spawnHeld(command, args, {
    environment: options.environment,
    output: 'pipe',
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const stdout = collect(held.child.stdout);
  const stderr = collect(held.child.stderr);
  const closed = new Promise<void>((resolve) => held.child.once('close', () => resolve()));
  let timedOut = false;
  const killGroup = (): void => {
    if (held.exit() !== undefined) return;
    try {
      process.kill(-held.pid, 'SIGKILL');
    } catch {
      held.child.kill('SIGKILL');
    }
  };
  const timer = options.clock.timer(options.timeoutMs, () => {
    timedOut = true;
    killGroup();
  });
  options.signal?.addEventListener('abort', killGroup, { once: true });
  if (options.signal?.aborted) killGroup();
  try {
    const exit = await held.exited;
    await closed;
    options.signal?.throwIfAborted();
    return { ...exit, stdout: stdout(), stderr: stderr(), timedOut };
  } finally {
    timer.cancel();
    options.signal?.removeEventListener('abort', killGroup);
  }
}

/** One line on why a command failed, for messages. */
export function describeFailure(what: string, result: CommandResult | Error): string {
  if (result instanceof Error) return `${what}: ${messageOf(result)}`;
  if (result.timedOut) return `${what}: took too long`;
  const lines = `${result.stdout}\n${result.stderr}`.split('\n').filter((line) => line.trim() !== '');
  const said = lines.at(-1)?.trim();
  return `${what}: ended with ${result.code ?? result.signal}${said === undefined ? '' : ` (${said})`}`;
}

function collect(stream: NodeJS.ReadableStream | null): () => string {
  let text = '';
  stream?.setEncoding('utf8');
  stream?.on('data', (chunk: string) => {
    text = (text + chunk).slice(-OUTPUT_MAX);
  });
  return () => text;
}
