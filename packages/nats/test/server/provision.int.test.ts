/** Provisioning for real: from a release served locally, and once from Debian. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFile, mkdir, readdir, readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import {
  canReachApt,
  eventually,
  freePort,
  natsServerBinary,
  spawnNode,
  type TemporaryDirectory,
  temporaryDirectory,
} from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type FindProgress, findNatsServer } from '../../src/server/index.ts';

const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
const folder = `nats-server-v2.15.1-${process.platform}-${architecture}`;
const archive = `${folder}.tar.gz`;

describe('from a release', () => {
  let directory: TemporaryDirectory;
  let host: Server;
  let baseUrl: string;
  let content: Buffer;
  let sums: string;
  /** Set: the archive stops after that many bytes and the connection stays open. */
  let stallAfter: number | undefined;

  beforeAll(async () => {
    directory = await temporaryDirectory('release');
    await mkdir(join(directory.path, folder));
    await copyFile(await natsServerBinary(), join(directory.path, folder, 'nats-server'));
    execFileSync('tar', ['-czf', join(directory.path, archive), '-C', directory.path, folder]);
    content = await readFile(join(directory.path, archive));
    host = createServer((request, response) => {
      if (request.url === '/v2.15.1/SHA256SUMS') response.end(sums);
      else if (request.url === `/v2.15.1/${archive}`) {
        response.setHeader('content-length', content.length);
        if (stallAfter === undefined) response.end(content);
        else response.write(content.subarray(0, stallAfter));
      } else response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve));
    baseUrl = `http://127.0.0.1:${(host.address() as AddressInfo).port}`;
  });
  afterAll(async () => {
    host?.closeAllConnections();
    await new Promise((resolve) => host?.close(resolve));
    await directory?.remove();
  });

  const find = (name: string, onProgress: (progress: FindProgress) => void = () => {}) =>
    findNatsServer({
      environment: {},
      cacheDir: join(directory.path, name),
      release: { baseUrl, version: '2.15.1' },
      debianSuites: [],
      onProgress,
    });

  it('verifies, installs, reports progress, and is found in the cache afterwards', async () => {
    sums = `${createHash('sha256').update(content).digest('hex')}  ${archive}\n`;
    stallAfter = undefined;
    const progress: FindProgress[] = [];
    // Two at once: neither disturbs the other.
    const [first, second] = await Promise.all([find('cache', (p) => progress.push(p)), find('cache')]);
    expect(first.source).toBe('release');
    expect(second.path).toBe(first.path);
    const bytes = progress.filter((p) => p.type === 'attempt_advanced').map((p) => p.doneBytes);
    expect(bytes.at(-1)).toBe(content.length);
    expect(progress.at(-1)).toMatchObject({ type: 'installed', path: first.path });
    expect(await readdir(join(directory.path, 'cache'))).toHaveLength(1);
    expect(execFileSync(first.path, ['--version'], { encoding: 'utf8' })).toContain(first.version);
    expect(await find('cache')).toEqual({ ...first, source: 'cache' });
  });

  it('refuses an archive with another checksum', async () => {
    sums = `${'0'.repeat(64)}  ${archive}\n`;
    stallAfter = undefined;
    await expect(find('tampered')).rejects.toMatchObject({
      code: 'NATS_SERVER_MISSING',
      message: expect.stringContaining('SHA-256'),
    });
    expect(await readdir(join(directory.path, 'tampered'))).toEqual([]);
  });

  it('refuses a release that does not list the archive, and a host that is not there', async () => {
    sums = '';
    await expect(find('unlisted')).rejects.toMatchObject({ message: expect.stringContaining('SHA256SUMS') });
    const closed = `http://127.0.0.1:${await freePort()}`;
    await expect(
      findNatsServer({
        environment: {},
        cacheDir: join(directory.path, 'nobody'),
        release: { baseUrl: closed, version: '2.15.1' },
        debianSuites: [],
      }),
    ).rejects.toMatchObject({ message: expect.stringContaining('ECONNREFUSED') });
  });

  it.each(['SIGINT', 'SIGKILL'] as const)('leaves nothing behind after %s in the middle', async (signal) => {
    sums = `${createHash('sha256').update(content).digest('hex')}  ${archive}\n`;
    stallAfter = 2_000_000;
    const cache = join(directory.path, `broken-off-${signal}`);
    await using child = await spawnNode(new URL('./programs/provision.ts', import.meta.url), [cache, baseUrl]);
    await child.line(/attempt_advanced/);
    expect(await readdir(cache)).toHaveLength(1);
    child.signal(signal);
    await child.exited;
    await eventually(async () => (await readdir(cache)).length === 0, { what: 'an empty cache' });
  });
});

describe('from Debian', () => {
  const unreachable = canReachApt();
  it.skipIf(unreachable !== undefined)(
    `gets the package without root's help, HOME or environment${unreachable === undefined ? '' : ` (skipped: ${unreachable})`}`,
    async () => {
      await using directory = await temporaryDirectory('debian');
      const progress: FindProgress[] = [];
      const found = await findNatsServer({
        environment: {},
        cacheDir: directory.path,
        release: false,
        onProgress: (p) => progress.push(p),
      });
      expect(found.source).toBe('debian');
      expect(execFileSync(found.path, ['--version'], { encoding: 'utf8' })).toContain(found.version);
      expect(progress.map((p) => p.type)).toContain('attempt_started');
      expect(await readdir(directory.path)).toHaveLength(1);
    },
  );
});
