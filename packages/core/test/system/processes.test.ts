import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { identifyProcess, isRunning } from '../../src/index.ts';

describe('process identity', () => {
  it('knows a running process, and knows that it ended', async () => {
    const child = spawn('sleep', ['30']);
    try {
      const id = identifyProcess(child.pid as number);
      expect(id?.startTicks).toBeGreaterThan(0);
      expect(id !== undefined && isRunning(id)).toBe(true);
      // The same pid with another start time is another process.
      expect(isRunning({ pid: child.pid as number, startTicks: 1 })).toBe(false);
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
      expect(id !== undefined && isRunning(id)).toBe(false);
      expect(identifyProcess(child.pid as number)).toBeUndefined();
    } finally {
      child.kill('SIGKILL');
    }
  });
});
