/**
 * The `warden` option of an election: what a warden process of its own does before it lets the lease go. Fences run in the
 * warden, so they are data, never functions: by the time they are needed this process is dead or frozen.
 */
import { type ConnectionSpec, type Duration, type OptionReader, parseDuration } from '@canopy/core';
import type { FenceCommand } from './warden/protocol.ts';

/**
 * A program that ends what runs under the lease, wherever that runs: `['systemctl', 'kill', '-s', 'KILL', 'shop']`,
 * `['docker', 'kill', 'shop']`. It is started without a shell. Only exit code 0 within `timeout` (default 5 s) means that
 * the fence holds; anything else keeps the lease, which then moves by expiry.
 */
export interface Fence {
  readonly command: readonly string[];
  readonly timeout?: Duration;
}

export interface WardenChoice {
  /** Run side by side. Empty: nothing but the processes registered with `election.processes` is ended. Default empty. */
  readonly fence?: readonly Fence[];
  /** How the warden reaches NATS. Default: as the election, where that has a `connection` or `servers`. */
  readonly connection?: ConnectionSpec;
  /** What `drain` processes get between SIGTERM and SIGKILL. Default 1.5 s. */
  readonly drain?: Duration;
}

export interface ResolvedWarden {
  readonly connection: ConnectionSpec;
  readonly fences: readonly FenceCommand[];
  readonly drainMs: number;
}

const FENCE_MS = 5000;

/** Reads the field `warden`; faults are reported under its name. */
export function readWarden(read: OptionReader, connection: ConnectionSpec | undefined): ResolvedWarden | undefined {
  const choice = read.any<WardenChoice | undefined>('warden');
  if (choice === undefined) return undefined;
  const given = choice.connection ?? connection;
  read.check(
    given !== undefined,
    'warden',
    'needs a connection of its own, or the connection or servers of the election',
  );
  const fences = (choice.fence ?? []).map(({ command, timeout = FENCE_MS }) => {
    const fine = Array.isArray(command) && command.length > 0 && command.every((part) => typeof part === 'string');
    read.check(fine && command[0] !== '', 'warden', 'fence: command must be a list of texts, the program first');
    return { command, timeoutMs: duration(read, timeout) };
  });
  return { connection: given ?? { servers: [] }, fences, drainMs: duration(read, choice.drain ?? 1500) };
}

function duration(read: OptionReader, value: Duration): number {
  const ms = parseDuration(value);
  read.check(ms !== undefined, 'warden', `must have durations such as "5s", got ${JSON.stringify(value)}`);
  return ms ?? 0;
}
