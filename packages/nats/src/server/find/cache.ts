/**
 * Where provisioned binaries are kept: `nats-server-<version>-<platform>-<arch>`. A binary appears under its name by a
 * rename within one file system, so what is there is complete, and two processes that install at once don't disturb
 * each other.
 */
import { randomUUID } from 'node:crypto';
import { access, chmod, constants, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeDirectory, messageOf } from '@canopy/core';
import type { Environment } from '../environment.ts';
import { compareVersions, formatVersion, isSufficient, parseVersion, type ServerVersion } from './version.ts';

const SUFFIX = `-${process.platform}-${process.arch}`;

/** The places that a cache may be at, best first: XDG_CACHE_HOME, ~/.cache, a directory of this user below TMPDIR. */
export function cacheCandidates(environment: Environment): readonly string[] {
  const { XDG_CACHE_HOME: xdg, HOME: home, TMPDIR: temporary } = environment;
  const candidates: string[] = [];
  if (xdg?.startsWith('/')) candidates.push(join(xdg, 'canopy'));
  if (home?.startsWith('/')) candidates.push(join(home, '.cache', 'canopy'));
  candidates.push(
    join(temporary?.startsWith('/') ? temporary : tmpdir(), `canopy-cache-${process.getuid?.() ?? 'user'}`),
  );
  return candidates;
}

/** The newest sufficient binary in the directory, without running it. */
export async function cachedBinary(
  directory: string,
): Promise<{ readonly path: string; readonly version: ServerVersion } | undefined> {
  if ((await refusal(directory)) !== undefined) return undefined;
  let best: { path: string; version: ServerVersion } | undefined;
  for (const name of await readdir(directory).catch(() => [])) {
    if (!name.startsWith('nats-server-') || !name.endsWith(SUFFIX)) continue;
    const version = parseVersion(` ${name.slice('nats-server-'.length, -SUFFIX.length)}`);
    const path = join(directory, name);
    if (version === undefined || !isSufficient(version) || !(await isExecutable(path))) continue;
    if (best === undefined || compareVersions(version, best.version) > 0) best = { path, version };
  }
  return best;
}

/** The first candidate that can be written, made when missing; else the reasons why not. */
export async function writableCache(
  candidates: readonly string[],
): Promise<{ readonly directory: string } | { readonly problem: string }> {
  const problems: string[] = [];
  for (const directory of candidates) {
    try {
      makeDirectory(directory);
      const refused = await refusal(directory);
      if (refused !== undefined) throw new Error(refused);
      const probe = join(directory, `.probe-${randomUUID()}`);
      await writeFile(probe, '');
      await rm(probe);
      return { directory };
    } catch (error) {
      problems.push(`${directory}: ${messageOf(error)}`);
    }
  }
  return { problem: `no cache directory is writable (${problems.join('; ')})` };
}

/** Moves the file at `from` (in a workspace of this directory) into the cache and returns its path there. */
export async function installBinary(directory: string, from: string, version: ServerVersion): Promise<string> {
  const path = join(directory, `nats-server-${formatVersion(version)}${SUFFIX}`);
  await chmod(from, 0o755);
  await rename(from, path);
  return path;
}

export async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}

/** A cache that somebody else may write would let them choose the program that we run. */
async function refusal(directory: string): Promise<string | undefined> {
  const facts = await stat(directory).catch(() => undefined);
  if (facts === undefined) return undefined;
  if (!facts.isDirectory()) return 'it is not a directory';
  const me = process.getuid?.();
  if (me !== undefined && facts.uid !== me && facts.uid !== 0) return 'it belongs to another user';
  if ((facts.mode & 0o002) !== 0) return 'everybody may write it';
  return undefined;
}
