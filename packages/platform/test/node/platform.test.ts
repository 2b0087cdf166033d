import { systemEnv } from '@canopy/core';
import { MemoryNats } from '@canopy/nats/memory';
import { beforeEach, describe, expect, it } from 'vitest';
import { singleton } from '../../src/apps/options.ts';
import { Platform, type PlatformOptions } from '../../src/index.ts';
import { TestCluster } from './cluster.ts';
import { platformSuite } from './suite.ts';

let nats: MemoryNats;
beforeEach(() => {
  nats = new MemoryNats();
});

platformSuite(async () => nats.session({ env: systemEnv() }));

describe('options', () => {
  const good = (): PlatformOptions => ({ name: 'p', node: 'n', servers: 'nats://127.0.0.1:1', dataDir: '/tmp/x' });

  it('reports every fault at once', () => {
    const bad = { nam: 'p', node: 'n', ttl: 'soon', http: { port: 99_999 } } as unknown as PlatformOptions;
    expect(() => new Platform(bad)).toThrow(
      expect.objectContaining({
        code: 'OPTIONS_INVALID',
        message: expect.stringMatching(
          /servers .*http\.port .*name is required.*dataDir is required.*ttl .*nam is not an option; did you mean "name"/,
        ),
      }),
    );
  });

  it.each(['a_b', 'a.b', '', 'ä', 'x'.repeat(64)])('refuses the platform name %j', (name) => {
    expect(() => new Platform({ ...good(), name })).toThrow();
  });

  it.each(['election', 'members', 'a_b', 'a b'])('refuses the app name %j', (name) => {
    expect(() => new Platform(good()).app(name, { mode: singleton() })).toThrow(
      expect.objectContaining({ code: 'NAME_INVALID' }),
    );
  });

  it('refuses a warden without a connection of its own, and an app twice', () => {
    const session = nats.session({ env: systemEnv() });
    expect(() => new Platform({ name: 'p', node: 'n', session, dataDir: '/tmp/x', warden: true })).toThrow('warden');
    const platform = new Platform(good());
    platform.app('x', { mode: singleton() });
    expect(() => platform.app('x', { mode: singleton() })).toThrow(expect.objectContaining({ code: 'APP_EXISTS' }));
  });

  it('refuses an app whose parts do not fit, naming the field', () => {
    const platform = new Platform(good());
    const bad = { mode: singleton(), proxy: { listen: 'nowhere' }, onActive: 3, databse: 1 } as never;
    expect(() => platform.app('x', bad)).toThrow(/listen must be "host:port"|onActive must be a function/);
    expect(() => platform.app('x', { mode: singleton(), proxy: { listen: 0 } })).toThrow('needs a backend');
  });
});

it('says which directory it cannot use', async () => {
  const session = nats.session({ env: systemEnv() });
  const platform = new Platform({ name: 'p', node: 'n', session, dataDir: '/dev/null/here' });
  await expect(platform.start()).rejects.toMatchObject({
    code: 'DATA_DIR_UNUSABLE',
    message: expect.stringContaining('/dev/null/here'),
  });
});

it('forces a stop that takes too long, within its bound, and says what hung', async () => {
  const cluster = await TestCluster.open(async () => nats.session({ env: systemEnv() }), {
    platform: { stopTimeout: 200 },
  });
  const node = await cluster.started('n1');
  await cluster.serving();
  const { latest } = node.backends;
  const stop = latest.stop.bind(latest);
  latest.stop = () => new Promise(() => {});
  await node.platform.stop();
  expect(node.lines.find(({ event }) => event === 'shutdown_forced')).toMatchObject({
    level: 'error',
    fields: { code: 'SHUTDOWN_TIMEOUT', busy: ['ledger'] },
  });
  await stop();
  await cluster[Symbol.asyncDispose]();
});

it('stop ends a start that waits', async () => {
  await using cluster = await TestCluster.open(async () => nats.session({ env: systemEnv() }));
  const holder = await cluster.node('n1');
  // The database never gets ready by itself.
  const open = holder.databases.open.bind(holder.databases);
  holder.databases.open = (context) => {
    const database = open(context);
    database.start = (options) =>
      new Promise((_, reject) => options?.signal?.addEventListener('abort', () => reject(options.signal?.reason)));
    return database;
  };
  const starting = expect(holder.platform.start()).rejects.toThrow('stopped');
  await holder.platform.stop();
  await starting;
});
