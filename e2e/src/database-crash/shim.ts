/** The shim under a node's programs: compiled once, told by environment variables, and asked to lose power or to fail. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Random } from '@canopy/core';
import { afterPowerLoss, type Files, type Loss, parseDiskLog } from './disk.ts';

const SOURCE = fileURLToPath(new URL('./shim.c', import.meta.url));
/** A longer record is begun anew when the node's programs are gone: what is old enough is on the disk. */
const LOG_BYTES_MAX = 64 * 1024 * 1024;

export const ERRNO = { EIO: 5, ENOSPC: 28 } as const;

/** The compiled shim, or why there is none. */
export function compileShim(directory: string): { readonly path: string } | { readonly reason: string } {
  if (process.platform !== 'linux') return { reason: 'the shim is for Linux' };
  const path = join(directory, 'shim.so');
  const { status, error, stderr } = spawnSync(
    'cc',
    ['-shared', '-fPIC', '-O2', '-o', path, SOURCE, '-ldl', '-lpthread'],
    {
      encoding: 'utf8',
    },
  );
  if (error !== undefined) return { reason: `there is no C compiler (${error.message})` };
  return status === 0 ? { path } : { reason: `the shim can't be compiled: ${stderr.trim().split('\n')[0]}` };
}

/** One node's directory and what is known of its flushes. */
export class Disk {
  readonly directory: string;
  readonly #shim: string;
  #first: Files = new Map();
  #boots = 0;

  /** The directory must be empty and without symbolic links in its path. */
  constructor(directory: string, shim: string) {
    this.directory = directory;
    this.#shim = shim;
    mkdirSync(directory, { recursive: true });
    this.#reboot();
  }

  /** For every program that touches the directory. */
  get environment(): Readonly<Record<string, string>> {
    return {
      LD_PRELOAD: this.#shim,
      CANOPY_SHIM_DIR: this.directory,
      CANOPY_SHIM_LOG: `${this.directory}.log`,
      CANOPY_SHIM_BOOT: `${this.directory}.boot`,
      CANOPY_SHIM_FAULT: `${this.directory}.fault`,
    };
  }

  /** Every write and flush fails until `heal`. */
  fail(error: keyof typeof ERRNO): void {
    writeFileSync(`${this.directory}.fault`, String(ERRNO[error]));
  }

  heal(): void {
    rmSync(`${this.directory}.fault`, { force: true });
  }

  /** The node's programs must be gone. */
  losePower(loss: Loss, random: Random): void {
    const log = `${this.directory}.log`;
    const operations = existsSync(log) ? parseDiskLog(readFileSync(log)) : [];
    this.#put(afterPowerLoss(this.#first, operations, loss, random));
    rmSync(log, { force: true });
    this.#reboot();
  }

  /** The record is long enough to be begun anew. */
  get isLong(): boolean {
    return (statSync(`${this.directory}.log`, { throwIfNoEntry: false })?.size ?? 0) >= LOG_BYTES_MAX;
  }

  /** Begins the record anew. The node's programs must be gone: what one of them has open would not be in the new one. */
  settle(): void {
    this.#first = this.#files();
    rmSync(`${this.directory}.log`, { force: true });
  }

  /** The very files where they still exist, with other content and names. */
  #put(files: Files): void {
    const there = new Map([...this.#files()].map(([path, { inode }]) => [inode, path]));
    const old = `${this.directory}.old`;
    renameSync(this.directory, old);
    for (const [path, { content, inode }] of files) {
      mkdirSync(dirname(path), { recursive: true });
      const before = there.get(inode);
      if (before !== undefined) renameSync(old + before.slice(this.directory.length), path);
      there.delete(inode);
      writeFileSync(path, content);
    }
    mkdirSync(this.directory, { recursive: true });
    rmSync(old, { recursive: true, force: true });
    this.#first = this.#files();
  }

  #files(): Files {
    const files = readdirSync(this.directory, { recursive: true, withFileTypes: true }).filter((one) => one.isFile());
    const paths = files.map((one) => join(one.parentPath, one.name));
    return new Map(paths.map((path) => [path, { content: readFileSync(path), inode: statSync(path).ino }]));
  }

  #reboot(): void {
    this.#boots += 1;
    writeFileSync(`${this.directory}.boot`, `boot-${this.#boots}\n`);
  }
}

/** Children that are spawned before `spawning` first waits have the variables. */
export function withEnvironment<T>(variables: Readonly<Record<string, string>>, spawning: () => T): T {
  const before = Object.keys(variables).map((name) => [name, process.env[name]] as const);
  Object.assign(process.env, variables);
  try {
    return spawning();
  } finally {
    for (const [name, value] of before)
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
  }
}
