/**
 * Runs one fence command in the warden. Invariant: true means that the program ended by itself with exit code 0 in time;
 * one that hangs is killed with its group and counts as a fence that does not hold.
 */
import { spawn } from 'node:child_process';
import { type Clock, inheritedEnvironment } from '@canopy/core';
import type { FenceCommand } from './protocol.ts';

/** Never rejects. */
export function runFenceCommand({ command, timeoutMs }: FenceCommand, clock: Clock): Promise<boolean> {
  const [program = '', ...args] = command;
  return new Promise((resolve) => {
    const child = spawn(program, args, { detached: true, stdio: 'ignore', env: inheritedEnvironment() });
    const timer = clock.timer(timeoutMs, () => {
      try {
        process.kill(-(child.pid as number), 'SIGKILL');
      } catch {}
      resolve(false);
    });
    const end = (ok: boolean): void => {
      timer.cancel();
      resolve(ok);
    };
    child.on('error', () => end(false));
    child.on('exit', (code) => end(code === 0));
  });
}
