/**
 * A directory for work under way, below the cache. It is removed when the work ends, and also when this process dies in
 * the middle of it (a ctrl-C, a SIGKILL): a keeper outside our process group waits on a pipe for our end.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { identifyProcess, isRunning } from '@canopy/core';

/** Twice, because commands that die at the same moment may still be writing during the first round. */
const KEEPER = 'read -r _ || { rm -rf -- "$1"; sleep 1; rm -rf -- "$1"; }';

/** Runs `work` in a fresh directory below `parent`. */
export async function inWorkspace<T>(parent: string, work: (directory: string) => Promise<T>): Promise<T> {
  await sweep(parent);
  const me = identifyProcess(process.pid);
  const directory = await mkdtemp(join(parent, `.work-${process.pid}-${me?.startTicks ?? 0}-`));
  const keeper = spawn('/bin/sh', ['-c', KEEPER, 'keeper', directory], {
    detached: true,
    cwd: '/',
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  keeper.on('error', () => {});
  keeper.stdin.on('error', () => {});
  try {
    return await work(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
    keeper.stdin.end('\n');
  }
}

/** What a keeper could not remove either, because it was killed too. */
async function sweep(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const owner = /^\.work-(\d+)-(\d+)-/.exec(name);
    if (owner === null || isRunning({ pid: Number(owner[1]), startTicks: Number(owner[2]) })) continue;
    await rm(join(parent, name), { recursive: true, force: true });
  }
}
