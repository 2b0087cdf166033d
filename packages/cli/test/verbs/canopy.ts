/** Runs the real command as a user would, and collects what it says. */
import { fileURLToPath } from 'node:url';
import { type ChildNode, spawnNode } from '@canopy/testkit';

export const ENTRY = fileURLToPath(new URL('../../bin/canopy.js', import.meta.url));

export interface Spoken {
  readonly code: number | undefined;
  readonly output: string;
}

/** Starts it and leaves it running. */
export function startCanopy(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>> = {},
): Promise<ChildNode> {
  return spawnNode(ENTRY, args, {
    environment: { NATS_URL: undefined, PLATFORM: undefined, NODE_ID: undefined, ...environment },
  });
}

/** Runs it to its end. */
export async function canopy(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>> = {},
): Promise<Spoken> {
  await using child = await startCanopy(args, environment);
  const { code } = await child.exited;
  return { code, output: child.output };
}
