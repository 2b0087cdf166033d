import { systemEnv } from '@canopy/core';
import { afterEach, describe, expect, it } from 'vitest';
import { platformErrors } from '../../src/errors.ts';
import { PromMetrics } from '../../src/http/prom-metrics.ts';
import { StatusServer, type StatusSource } from '../../src/http/status-server.ts';

const good: StatusSource = {
  health: () => undefined,
  notReady: () => undefined,
  status: () => ({ fine: true }),
  metrics: () => undefined,
  sync: async () => ({ node: 'n1', position: '3.000000000000002a', ms: 2 }),
};

const servers: StatusServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

async function serve(source: Partial<StatusSource>, host = '127.0.0.1', port = 0): Promise<StatusServer> {
  const server = new StatusServer({ host, port, source: { ...good, ...source } }, systemEnv());
  servers.push(server);
  await server.start();
  return server;
}

async function get(server: StatusServer, path: string): Promise<{ status: number; body: string }> {
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`);
  return { status: response.status, body: await response.text() };
}

async function post(server: StatusServer, path: string) {
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method: 'POST' });
  const retryAfter = response.headers.get('retry-after');
  return { status: response.status, retryAfter, body: (await response.json()) as Record<string, unknown> };
}

describe('a sync over HTTP', () => {
  it('passes on what is asked for, and says what is safe', async () => {
    const calls: unknown[] = [];
    const server = await serve({
      sync: async (call) => {
        calls.push(call);
        return { node: 'n1', position: '3.000000000000002a', ms: 2 };
      },
    });
    expect(await post(server, '/apps/ledger/sync?applied=2&timeout=3s')).toEqual({
      status: 200,
      retryAfter: null,
      body: { app: 'ledger', node: 'n1', position: '3.000000000000002a', ms: 2, applied: 2 },
    });
    await post(server, '/apps/ledger/sync');
    expect(calls).toEqual([
      { app: 'ledger', applied: 2, timeoutMs: 3000 },
      { app: 'ledger', timeoutMs: 10_000 },
    ]);
  });

  it.each([
    ['?applied=0', 'applied must be'],
    ['?applied=x', 'applied must be'],
    ['?timeout=soon', 'timeout must be'],
    ['?timeout=11m', 'timeout must be'],
    ['?wait=1', 'no parameter wait'],
  ])('refuses %s', async (query, problem) => {
    const { status, body } = await post(await serve({}), `/apps/ledger/sync${query}`);
    expect([status, JSON.stringify(body)]).toEqual([400, expect.stringContaining(problem)]);
  });

  it('says which app it does not know, and when to ask again', async () => {
    const failing = (code: 'APP_UNKNOWN' | 'APP_DB_NOT_PRIMARY') =>
      serve({
        sync: async () => {
          throw platformErrors.create(code, {
            app: 'x',
            platform: 'p',
            known: 'a',
            node: 'n',
            role: 'r',
            primary: 'q',
          });
        },
      });
    expect(await post(await failing('APP_UNKNOWN'), '/apps/x/sync')).toMatchObject({ status: 404, retryAfter: null });
    expect(await post(await failing('APP_DB_NOT_PRIMARY'), '/apps/x/sync')).toMatchObject({
      status: 503,
      retryAfter: '1',
      body: { error: { code: 'APP_DB_NOT_PRIMARY' } },
    });
    expect((await post(await failing('APP_UNKNOWN'), '/apps/A%ZZ/sync')).status).toBe(400);
  });

  it('is no GET, and nothing else is a POST', async () => {
    const server = await serve({});
    expect((await get(server, '/apps/ledger/sync')).status).toBe(405);
    expect((await post(server, '/status')).status).toBe(405);
  });
});

describe('the status server', () => {
  it('says 503 with the reason when unhealthy or not ready', async () => {
    const server = await serve({ health: () => 'the node is failed', notReady: () => ['app x is promoting'] });
    expect(await get(server, '/health')).toMatchObject({
      status: 503,
      body: expect.stringContaining('the node is failed'),
    });
    expect(await get(server, '/ready')).toMatchObject({
      status: 503,
      body: expect.stringContaining('app x is promoting'),
    });
  });

  it('shows no more than that it failed when a source throws', async () => {
    const server = await serve({
      status: () => {
        throw new Error('secret');
      },
    });
    const { status, body } = await get(server, '/status?x=1');
    expect([status, body.includes('secret')]).toEqual([500, false]);
  });

  it('says that metrics are elsewhere', async () => {
    expect((await get(await serve({}), '/metrics')).status).toBe(404);
  });

  it('names the option when its port is taken or its host is not ours', async () => {
    const { port } = await serve({});
    await expect(serve({}, '127.0.0.1', port as number)).rejects.toMatchObject({
      code: 'LISTEN_TAKEN',
      message: `http.port: port ${port} on 127.0.0.1 is taken`,
    });
    await expect(serve({}, '203.0.113.1')).rejects.toMatchObject({ code: 'LISTEN_FAILED' });
  });
});

describe('prometheus metrics', () => {
  it('renders what was declared, with help and labels', async () => {
    const metrics = new PromMetrics();
    metrics.counter({ name: 'c_total', help: 'Counts.', labels: ['app'] }).add(2, { app: 'x' });
    const gauge = metrics.gauge({ name: 'g', help: 'Level.', labels: ['app'] });
    gauge.set(5, { app: 'x' });
    gauge.set(6, { app: 'y' });
    gauge.remove({ app: 'x' });
    metrics.histogram({ name: 'h_seconds', help: 'Times.', buckets: [0.1, 1] }).observe(0.5);
    const text = await metrics.render();
    expect(text).toContain('# HELP c_total Counts.');
    expect(text).toContain('c_total{app="x"} 2');
    expect(text).toContain('g{app="y"} 6');
    expect(text).not.toContain('g{app="x"}');
    expect(text).toContain('h_seconds_bucket{le="0.1"} 0');
    expect(text).toContain('h_seconds_bucket{le="1"} 1');
  });

  it('gives the same metric for the same name', async () => {
    const metrics = new PromMetrics();
    const spec = { name: 'c_total', help: 'Counts.' };
    metrics.counter(spec).add();
    metrics.counter(spec).add();
    expect(await metrics.render()).toContain('c_total 2');
  });

  it('keeps two registries apart', async () => {
    const one = new PromMetrics();
    one.gauge({ name: 'g', help: 'Level.' }).set(1);
    expect(await new PromMetrics().render()).not.toContain('# HELP g ');
  });
});
