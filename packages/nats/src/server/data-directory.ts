/**
 * Who may run a server on a data directory: one process at a time. A claim is a numbered file that names the owner (pid
 * and start time) and its server; it is made complete by a link, and the highest number counts. A claim whose owner is
 * gone is taken over, after the server that it names has been ended should it still run.
 */
import { randomUUID } from 'node:crypto';
import { link, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, identifyProcess, isRunning, makeDirectory, type ProcessId } from '@canopy/core';
import { serverErrors } from './errors.ts';

/** Do not change: a newer release must recognise the claims of an older one. */
const CLAIM = /^nats-server\.(\d+)\.claim$/;

interface Claim {
  readonly owner: ProcessId;
  readonly server?: ProcessId;
}

export class DataDirectory {
  readonly path: string;
  readonly #file: string;
  readonly #owner: ProcessId;

  private constructor(path: string, file: string, owner: ProcessId) {
    this.path = path;
    this.#file = file;
    this.#owner = owner;
  }

  /** Makes the directory when missing. Errors: NATS_DATA_DIR_UNWRITABLE, NATS_DATA_DIR_IN_USE. */
  static async claim(path: string, clock: Clock): Promise<DataDirectory> {
    const owner = identifyProcess(process.pid) ?? { pid: process.pid, startTicks: 0 };
    const staged = join(path, `.claim-${randomUUID()}`);
    try {
      makeDirectory(path);
      await writeFile(staged, JSON.stringify({ owner }), { mode: 0o600 });
    } catch (error) {
      throw unwritable(path, error);
    }
    try {
      return new DataDirectory(path, await takeClaim(path, staged, clock), owner);
    } finally {
      await rm(staged, { force: true });
    }
  }

  /** Runs work that writes here; what the file system refuses becomes NATS_DATA_DIR_UNWRITABLE. */
  async write<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw (error as NodeJS.ErrnoException).syscall === undefined ? error : unwritable(this.path, error);
    }
  }

  /** Remembers which server runs here, for whoever comes after a death of this process. */
  async record(server: ProcessId | undefined): Promise<void> {
    const staged = `${this.#file}.next`;
    const claim: Claim = { owner: this.#owner, ...(server === undefined ? {} : { server }) };
    await writeFile(staged, JSON.stringify(claim), { mode: 0o600 });
    await rename(staged, this.#file);
  }

  /** Idempotent; the directory stays. */
  async release(): Promise<void> {
    await rm(this.#file, { force: true });
  }
}

async function takeClaim(path: string, staged: string, clock: Clock): Promise<string> {
  for (;;) {
    const highest = (await claimNumbers(path)).at(-1) ?? 0;
    const held = highest === 0 ? undefined : await readClaim(claimFile(path, highest));
    if (held !== undefined) await endIfOrphaned(path, held, clock);
    const file = claimFile(path, highest + 1);
    if (!(await linked(staged, file))) continue;
    const numbers = await claimNumbers(path);
    if (numbers.at(-1) === highest + 1) {
      for (const number of numbers.slice(0, -1)) await rm(claimFile(path, number), { force: true });
      return file;
    }
    // Others went past while this one looked at an old claim; theirs counts.
    await rm(file, { force: true });
  }
}

async function endIfOrphaned(path: string, claim: Claim, clock: Clock): Promise<void> {
  if (isRunning(claim.owner))
    throw serverErrors.create('NATS_DATA_DIR_IN_USE', { dataDir: path, ownerPid: claim.owner.pid });
  if (claim.server === undefined) return;
  const giveUpAt = clock.monotonic() + 5_000;
  while (isRunning(claim.server)) {
    if (clock.monotonic() > giveUpAt)
      throw serverErrors.create('NATS_DATA_DIR_IN_USE', { dataDir: path, ownerPid: claim.server.pid });
    try {
      process.kill(claim.server.pid, 'SIGKILL');
    } catch {
      // It ended by itself in between, or belongs to another user: the loop finds out.
    }
    await clock.sleep(20);
  }
}

async function claimNumbers(path: string): Promise<readonly number[]> {
  const numbers = (await readdir(path)).map((name) => Number(CLAIM.exec(name)?.[1] ?? 0));
  return numbers.filter((number) => number > 0).sort((a, b) => a - b);
}

function claimFile(path: string, number: number): string {
  return join(path, `nats-server.${number}.claim`);
}

/** Undefined when it was just released, or is damaged (a crash of the machine): then nobody can own it. */
async function readClaim(file: string): Promise<Claim | undefined> {
  try {
    const claim = JSON.parse(await readFile(file, 'utf8')) as Claim;
    return typeof claim.owner?.pid === 'number' ? claim : undefined;
  } catch {
    return undefined;
  }
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function unwritable(dataDir: string, error: unknown): Error {
  const { code, message } = error as NodeJS.ErrnoException;
  const known: Readonly<Record<string, string>> = {
    EACCES: 'permission denied',
    EPERM: 'permission denied',
    EROFS: 'the file system is read-only',
    ENOSPC: 'no space is left',
    ENOTDIR: 'a part of the path is not a directory',
    EEXIST: 'it is not a directory',
    ENOENT: 'it cannot be made',
  };
  const reason = known[code ?? ''] ?? message;
  return serverErrors.create('NATS_DATA_DIR_UNWRITABLE', { dataDir, reason }, error);
}
