/** The search order, with programs that only tell a version; real servers are in provision.int.test.ts. */
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from '@canopy/testkit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cacheCandidates } from '../../src/server/find/cache.ts';
import { debianMirror } from '../../src/server/find/debian.ts';
import { type FindNatsServerOptions, findNatsServer } from '../../src/server/find/find.ts';
import type { FindProgress } from '../../src/server/find/progress.ts';
import { checksumFor } from '../../src/server/find/release.ts';
import { parseVersion } from '../../src/server/find/version.ts';

const installed = `-${process.platform}-${process.arch}`;

describe('findNatsServer', () => {
  let root: string;
  let remove: () => Promise<void>;
  beforeEach(async () => {
    const directory = await temporaryDirectory('find');
    root = directory.path;
    remove = directory.remove;
  });
  afterEach(() => remove());

  const program = async (name: string, version: string): Promise<string> => {
    const path = join(root, name);
    await mkdir(join(path, '..'), { recursive: true });
    await writeFile(path, `#!/bin/sh\necho "nats-server: v${version}"\n`);
    await chmod(path, 0o755);
    return path;
  };
  const find = (options: FindNatsServerOptions): ReturnType<typeof findNatsServer> =>
    findNatsServer({ provision: false, cacheDir: join(root, 'cache'), ...options });

  it('takes what CANOPY_NATS_SERVER names before anything else', async () => {
    const named = await program('mine', '2.12.0');
    await program('bin/nats-server', '2.15.1');
    const found = await find({ environment: { CANOPY_NATS_SERVER: named, PATH: join(root, 'bin') } });
    expect(found).toEqual({ path: named, version: '2.12.0', source: 'environment' });
  });

  it('refuses a CANOPY_NATS_SERVER that is too old or no server instead of passing it over', async () => {
    const old = await program('old', '2.9.25');
    await program('bin/nats-server', '2.15.1');
    const PATH = join(root, 'bin');
    await expect(find({ environment: { CANOPY_NATS_SERVER: old, PATH } })).rejects.toMatchObject({
      code: 'NATS_SERVER_TOO_OLD',
      message: 'nats-server 2.9.25 is too old',
    });
    for (const wrong of [join(root, 'none'), root, '/bin/true'])
      await expect(find({ environment: { CANOPY_NATS_SERVER: wrong, PATH } })).rejects.toMatchObject({
        code: 'NATS_SERVER_MISSING',
        message: expect.stringContaining(wrong),
      });
  });

  it('passes an old server on PATH over, with a notice, and takes the next', async () => {
    const old = await program('a/nats-server', '2.9.10');
    const good = await program('b/nats-server', '2.10.0');
    const notices: FindProgress[] = [];
    const environment = { PATH: `${join(root, 'a')}:${join(root, 'b')}` };
    const found = await find({ environment, onProgress: (progress) => notices.push(progress) });
    expect(found).toEqual({ path: good, version: '2.10.0', source: 'path' });
    expect(notices).toEqual([{ type: 'passed_over', path: old, reason: 'version 2.9.10 is older than 2.10' }]);
  });

  it('takes the newest of the cache without running it', async () => {
    for (const version of ['2.9.30', '2.10.27', '2.15.1', '2.9.99'])
      await program(`cache/nats-server-${version}${installed}`, 'never asked');
    await program('cache/nats-server-2.99.0-plan9-mips', '2.99.0');
    const found = await find({ environment: {} });
    expect(found).toMatchObject({ version: '2.15.1', source: 'cache' });
  });

  it('does not run what others could have put into the cache', async () => {
    await program(`cache/nats-server-2.15.1${installed}`, '2.15.1');
    await chmod(join(root, 'cache'), 0o777);
    await expect(find({ environment: {} })).rejects.toMatchObject({ code: 'NATS_SERVER_MISSING' });
  });

  it('says what was tried and what to do when there is none', async () => {
    const failure = await find({ environment: {}, provision: true, release: false, debianSuites: [] }).catch((e) => e);
    expect(failure).toMatchObject({ code: 'NATS_SERVER_MISSING' });
    expect(failure.hint).toContain('CANOPY_NATS_SERVER');
    // Below /proc nothing can be made, not even by root.
    const blocked = await find({ environment: {}, provision: true, cacheDir: '/proc/cache' }).catch((e) => e);
    expect(blocked).toMatchObject({ code: 'NATS_SERVER_MISSING', message: expect.stringContaining('/proc/cache') });
  });

  it('names every way that failed, and leaves nothing in the cache', async () => {
    const failure = await find({
      environment: { PATH: join(root, 'nothing') },
      provision: true,
      // Nothing listens on port 1.
      release: { baseUrl: 'http://127.0.0.1:1/releases', version: '2.15.1' },
      debianSuites: ['no-such-suite'],
    }).catch((error) => error);
    expect(failure).toMatchObject({ code: 'NATS_SERVER_MISSING' });
    expect(failure.message).toContain('127.0.0.1:1');
    expect(failure.message).toMatch(/apt|Debian/);
    expect(await readdir(join(root, 'cache'))).toEqual([]);
  });
});

describe('the parts of the search', () => {
  it('reads versions', () => {
    expect(parseVersion('nats-server: v2.10.27\n')).toEqual({ major: 2, minor: 10, patch: 27 });
    expect(parseVersion('2.15.1')).toEqual({ major: 2, minor: 15, patch: 1 });
    expect(parseVersion('nats-server: unknown')).toBeUndefined();
  });

  it('looks for the cache in XDG_CACHE_HOME, HOME and TMPDIR, and ignores relative ones', () => {
    expect(cacheCandidates({ XDG_CACHE_HOME: '/x', HOME: '/home/me', TMPDIR: '/t' })).toEqual([
      '/x/canopy',
      '/home/me/.cache/canopy',
      `/t/canopy-cache-${process.getuid?.()}`,
    ]);
    expect(cacheCandidates({ XDG_CACHE_HOME: 'x', HOME: '' })).toHaveLength(1);
  });

  it('finds the checksum of exactly the file', () => {
    const sum = 'a'.repeat(64);
    const sums = `${'b'.repeat(64)}  x.tar.gz.sig\n${sum}  x.tar.gz\n`;
    expect(checksumFor(sums, 'x.tar.gz')).toBe(sum);
    expect(checksumFor(sums, 'tar.gz')).toBeUndefined();
  });

  it('tells the main archive from the security one', () => {
    expect(debianMirror('http://a/debian-security/\nhttp://b/debian/\n')).toBe('http://b/debian/');
    expect(debianMirror('http://a/ubuntu/\n')).toBeUndefined();
  });
});
