/** The tests with Go programs must say in bounded time why they can't run, whatever the network does. */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { systemClock } from '@canopy/core';
import { type TemporaryDirectory, temporaryDirectory } from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Built, buildGoProgram } from './go-program.ts';

let workspace: TemporaryDirectory;
beforeAll(async () => {
  workspace = await temporaryDirectory('go-program');
});
afterAll(() => workspace?.remove());

function reasonOf(built: Built, skip: (why: string) => void): string {
  const reason = built.binary === undefined ? built.reason : 'none: it was built';
  if (reason.startsWith('no Go toolchain')) skip(reason);
  return reason;
}

/** No module is in the cache, and none is to be had but from `proxy`. */
const empty = (proxy: string): Record<string, string> => ({
  GOMODCACHE: join(workspace.path, 'modules'),
  GOPROXY: proxy,
  GONOPROXY: 'none',
});

describe('a Go program whose modules are not here', () => {
  it.for(['peer', 'published'] as const)('%s: says so where the network may not be used', async (name, { skip }) => {
    const reason = reasonOf(await buildGoProgram(name, workspace.path, { environment: empty('off') }), skip);
    expect(reason).toMatch(/can't be had: .*disabled/);
    expect(reason.length).toBeLessThan(300);
  });

  it('says so when the network is silent, and ends what it had started', async ({ skip }) => {
    const sockets = new Set<Socket>();
    const silent = createServer((socket) => void sockets.add(socket.on('error', () => {})));
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as { port: number };
    const begun = systemClock.monotonic();
    try {
      const environment = empty(`http://127.0.0.1:${port}`);
      const built = await buildGoProgram('published', workspace.path, { environment, modulesMs: 2000 });
      expect(reasonOf(built, skip)).toMatch(/not done within 2 s/);
      expect(sockets.size).toBeGreaterThan(0);
      expect(systemClock.monotonic() - begun).toBeLessThan(20_000);
    } finally {
      for (const socket of sockets) socket.destroy();
      silent.close();
    }
  });

  it('says so where there is no toolchain', async () => {
    const built = await buildGoProgram('peer', workspace.path, { environment: { PATH: workspace.path } });
    expect(built).toEqual({ binary: undefined, reason: 'no Go toolchain: ENOENT' });
  });
});
