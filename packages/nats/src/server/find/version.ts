/** Versions of nats-server: what is the smallest that will do, and how to ask a binary for its own. */
import { type CommandOptions, runCommand } from '../machine/run-command.ts';

export interface ServerVersion {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
}

/** Below this, JetStream lacks what the adapters rely on. */
export const MINIMUM: ServerVersion = { major: 2, minor: 10, patch: 0 };

/** Reads `nats-server: v2.10.27`, `2.15.1` and the like; undefined for anything else. */
export function parseVersion(text: string): ServerVersion | undefined {
  const match = /(?:^|[\sv])(\d+)\.(\d+)\.(\d+)/.exec(text.trim());
  if (match === null) return undefined;
  return { major: Number(match[1]), minor: Number(match[2]), patch: Number(match[3]) };
}

export function formatVersion(version: ServerVersion): string {
  return `${version.major}.${version.minor}.${version.patch}`;
}

/** Negative when `a` is older. */
export function compareVersions(a: ServerVersion, b: ServerVersion): number {
  return a.major - b.major || a.minor - b.minor || a.patch - b.patch;
}

export function isSufficient(version: ServerVersion): boolean {
  return compareVersions(version, MINIMUM) >= 0;
}

/** Asks the binary (a short child process); undefined when it does not run here or is not nats-server. */
export async function readVersion(
  binary: string,
  options: Omit<CommandOptions, 'timeoutMs'>,
): Promise<ServerVersion | undefined> {
  const result = await runCommand(binary, ['--version'], { ...options, timeoutMs: 10_000 });
  return result.code === 0 && /nats-server/i.test(result.stdout) ? parseVersion(result.stdout) : undefined;
}
