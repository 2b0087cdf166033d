/**
 * The `warden` option of an election: what a warden process of its own does before it lets the lease go. Fences run in the
 * warden, so they are data, never functions: by the time they are needed this process is dead or frozen.
 */
import type { ConnectionSpec, Duration, OptionReader } from '@canopy/core';
import { readConnection } from './connection-option.ts';
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

/** Reads the field `warden`; what is wrong is reported by its inner name, such as `warden.fence[0].command`. */
export function readWarden(read: OptionReader, connection: ConnectionSpec | undefined): ResolvedWarden | undefined {
  return read.object('warden', (inner) => {
    const given = inner.any<unknown>('connection') === undefined ? connection : readConnection(inner, 'connection');
    read.check(
      given !== undefined,
      'warden',
      'needs a connection of its own, or the connection or servers of the election',
    );
    return {
      connection: given ?? { servers: [] },
      fences: inner.objects('fence', readFence),
      drainMs: inner.durationMs('drain', { default: 1500 }),
    };
  });
}

function readFence(read: OptionReader): FenceCommand {
  const command = read.any<unknown>('command');
  const fine =
    Array.isArray(command) &&
    command.length > 0 &&
    command[0] !== '' &&
    command.every((part) => typeof part === 'string' && !part.includes('\0'));
  read.check(fine, 'command', 'must be a list of texts, the program first');
  return {
    command: fine ? (command as readonly string[]) : [],
    timeoutMs: read.durationMs('timeout', { default: FENCE_MS, minMs: 1 }),
  };
}
