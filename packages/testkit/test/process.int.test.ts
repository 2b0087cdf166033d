/** Trees of real processes: found, stopped, woken and killed as a whole. */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { identifyProcess, isRunning, type ProcessId } from '@canopy/core';
import { describe, expect, it } from 'vitest';
import {
  type ChildNode,
  cpuOf,
  eventually,
  freezeTree,
  hasProcfs,
  killTree,
  memoryOf,
  processState,
  processTree,
  spawnNode,
  temporaryDirectory,
  thawTree,
  tinyFilesystem,
} from '../src/index.ts';

const noProcfs = hasProcfs();

async function family(root: ChildNode): Promise<readonly ProcessId[]> {
  const pids = [root.pid];
  for (const member of ['child', 'detached', 'grandchild'])
    pids.push(Number((await root.line(new RegExp(`^${member} \\d+$`))).split(' ')[1]));
  return pids.map((pid) => identifyProcess(pid) as ProcessId);
}

describe.skipIf(noProcfs !== undefined)(
  `process trees${noProcfs === undefined ? '' : ` (skipped: ${noProcfs})`}`,
  () => {
    const program = new URL('./programs/tree.ts', import.meta.url);

    it('kills children in other groups and sessions too', async () => {
      await using root = await spawnNode(program);
      const members = await family(root);
      expect(members.every(isRunning)).toBe(true);
      const pids = processTree(root.pid).map((member) => member.pid);
      expect(new Set(pids)).toEqual(new Set(members.map((member) => member.pid)));
      expect(pids[0]).toBe(root.pid);
      await killTree(root.pid);
      expect(members.some(isRunning)).toBe(false);
      expect(await root.exited).toMatchObject({ signal: 'SIGKILL' });
      expect(processTree(root.pid)).toEqual([]);
    });

    it('freezes and thaws all of it', async () => {
      await using root = await spawnNode(program);
      const members = await family(root);
      const states = (): (string | undefined)[] => members.map((member) => processState(member.pid));
      freezeTree(root.pid);
      await eventually(() => states().every((state) => state === 'T'));
      thawTree(root.pid);
      await eventually(() => states().every((state) => state !== 'T'));
      expect(members.every(isRunning)).toBe(true);
    });

    it('ends the whole tree at disposal, frozen or not', async () => {
      let members: readonly ProcessId[];
      {
        await using root = await spawnNode(program);
        members = await family(root);
        freezeTree(root.pid);
      }
      expect(members.some(isRunning)).toBe(false);
    });

    it('measures memory and processor time', async () => {
      const memory = memoryOf(process.pid);
      expect(memory?.rssAnonKb).toBeGreaterThan(10_000);
      expect(memory?.rssKb).toBeGreaterThanOrEqual(memory?.rssAnonKb as number);
      const before = cpuOf(process.pid);
      let sum = 0;
      await eventually(() => {
        for (let i = 0; i < 1e6; i++) sum += Math.sqrt(i);
        return (cpuOf(process.pid)?.totalMs as number) > (before?.totalMs as number) + 30;
      });
      expect(sum).toBeGreaterThan(0);
      expect(memoryOf(2 ** 22 + 1)).toBeUndefined();
      expect(cpuOf(2 ** 22 + 1)).toBeUndefined();
    });
  },
);

describe('ChildNode', () => {
  it('fails with the output when the child ends before the line', async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, 'ends.ts');
    await writeFile(file, 'const word: string = "last words"; process.stdout.write(word); process.exitCode = 4;');
    await using child = await spawnNode(file);
    await expect(child.line(/never/)).rejects.toThrow(/it ended \(4\) before; output of process \d+:\nlast words/);
    expect(child.exit).toEqual({ code: 4, signal: undefined });
  });

  it('passes arguments, environment and input', async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, 'echo.ts');
    await writeFile(
      file,
      'process.stdout.write(process.argv[2] + process.env.CANOPY_WORD + "\\n"); process.stdin.pipe(process.stdout);',
    );
    await using child = await spawnNode(file, ['a'], { environment: { CANOPY_WORD: 'b' } });
    await child.line(/^ab$/);
    child.write('c\n');
    expect(await child.line((line) => line === 'c')).toBe('c');
  });
});

describe('temporaryDirectory', () => {
  it('is removed at disposal', async () => {
    let path: string;
    {
      await using directory = await temporaryDirectory('mine');
      path = directory.path;
      await writeFile(join(path, 'file'), '');
    }
    expect(existsSync(path)).toBe(false);
  });

  it('is removed when its process is killed', async () => {
    await using child = await spawnNode(new URL('./programs/temporary.ts', import.meta.url));
    const path = (await child.line(/^path /)).slice('path '.length);
    expect(existsSync(path)).toBe(true);
    await child.kill();
    await eventually(() => !existsSync(path), { what: 'the removal of the directory' });
  });
});

it('tinyFilesystem is full at its size, and gone afterwards', async (context) => {
  const tiny = await tinyFilesystem(256 * 1024);
  if (tiny.path === undefined) return context.skip(tiny.reason);
  const { path } = tiny;
  try {
    await writeFile(join(path, 'small'), 'x'.repeat(1000));
    await expect(writeFile(join(path, 'large'), 'x'.repeat(1_000_000))).rejects.toMatchObject({ code: 'ENOSPC' });
  } finally {
    await tiny[Symbol.asyncDispose]();
  }
  expect(existsSync(path)).toBe(false);
});
