import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { systemEnv } from '@canopy/core';
import { afterEach, describe, expect, it } from 'vitest';
import { Load, type LoadOptions } from '../../src/load/index.ts';

/** A ledger's front that answers, refuses, breaks off or stays silent as told; it remembers what it was asked. */
interface Front {
  readonly url: string;
  readonly asked: string[];
}

type Behaviour = (request: IncomingMessage, response: ServerResponse, nth: number) => void;

const servers: Server[] = [];
const loads: Load[] = [];

afterEach(async () => {
  for (const load of loads.splice(0)) await load.stop();
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
});

async function front(behave: Behaviour): Promise<Front> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    request.resume();
    request.on('end', () => behave(request, response, asked.push(`${request.method} ${request.url}`)));
  });
  servers.push(server.listen(0, '127.0.0.1'));
  await once(server, 'listening');
  return { asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

async function load(options: Partial<LoadOptions> & { urls: readonly string[] }): Promise<Load> {
  const made = new Load(systemEnv(), { accounts: ['a', 'b', 'c'], retryMs: 1, readShare: 0, seed: '1', ...options });
  loads.push(made);
  await made.start();
  return made;
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await systemEnv().clock.sleep(2);
}

const json =
  (status: number, body: unknown = {}): Behaviour =>
  (_request, response) =>
    void response.writeHead(status).end(JSON.stringify(body));
const idOf = (line: string): string => line.split('/').at(-1) as string;

describe('a load', () => {
  it('records what it sent, with times that enclose the request', async () => {
    const { url, asked } = await front(json(201));
    const running = await load({ urls: [url], workers: 3, idPrefix: 'x' });
    await until(() => running.records.length >= 30);
    await running.finish();
    const records = running.acknowledged();
    expect(records).toHaveLength(asked.length);
    expect(new Set(records.map((record) => record.id)).size).toBe(records.length);
    for (const record of records) {
      expect(record).toMatchObject({ url, outcome: 'acknowledged', status: 201, id: expect.stringMatching(/^x-\d+$/) });
      expect(record.from).not.toBe(record.to);
      expect(record.amount).toBeGreaterThan(0);
      expect(record.endedAt).toBeGreaterThanOrEqual(record.startedAt);
    }
    expect(running.stats()).toMatchObject({ acknowledged: records.length, pending: 0, unknown: 0, full: false });
  });

  it.each<[string, Behaviour]>([
    ['503', json(503, { error: { code: 'no_active' } })],
    ['a broken connection', (request) => void request.socket.destroy()],
    [
      'an answer that ends in the middle',
      (request, response) => {
        response.writeHead(201, { 'content-length': 100 }).write('{');
        setImmediate(() => request.socket.destroy());
      },
    ],
    ['silence', () => {}],
  ])('sends the same transfer to the next URL after %s', async (_, behaviour) => {
    const broken = await front(behaviour);
    const good = await front(json(200));
    const running = await load({ urls: [broken.url, good.url], workers: 1, timeoutMs: 100 });
    await until(() => running.stats().acknowledged > 0);
    await running.finish();
    expect(running.records[0]).toMatchObject({ url: broken.url, outcome: 'unknown' });
    expect(running.records[1]).toMatchObject({ url: good.url, outcome: 'acknowledged' });
    expect(idOf(broken.asked[0] as string)).toBe(idOf(good.asked[0] as string));
    const { id, from, to, amount } = running.records[0] as (typeof running.records)[0];
    expect(running.records[1]).toMatchObject({ id, from, to, amount });
    expect(running.stats()).toMatchObject({ pending: 0 });
  });

  it('takes a refusal for final', async () => {
    const { url } = await front(json(409, { error: { code: 'insufficient_funds' } }));
    const running = await load({ urls: [url], workers: 1 });
    await until(() => running.stats().refused >= 3);
    await running.finish();
    expect(running.stats()).toMatchObject({ acknowledged: 0, unknown: 0, pending: 0 });
    expect(running.records[0]).toMatchObject({ outcome: 'refused', status: 409, reason: 'insufficient_funds' });
  });

  it('mixes in reads', async () => {
    const { url, asked } = await front(json(200));
    const running = await load({ urls: [url], readShare: 0.5 });
    await until(() => running.stats().reads >= 10 && running.stats().acknowledged >= 10);
    await running.finish();
    expect(asked.filter((line) => line.startsWith('GET /accounts/'))).toHaveLength(running.stats().reads);
    expect(running.stats().readsFailed).toBe(0);
  });

  it('keeps its rate', async () => {
    const { url } = await front(json(200));
    const began = systemEnv().clock.monotonic();
    const running = await load({ urls: [url], ratePerSecond: 100 });
    await until(() => running.records.length >= 20);
    expect(systemEnv().clock.monotonic() - began).toBeGreaterThan(150);
  });

  it('begins nothing more when its history is full, and says so', async () => {
    const { url, asked } = await front(json(200));
    const running = await load({ urls: [url], recordsMax: 10, workers: 4 });
    await until(() => running.stats().full);
    await running.finish();
    expect(asked.length).toBeGreaterThanOrEqual(10);
    expect(asked.length).toBeLessThan(10 + 4);
    expect(running.records).toHaveLength(asked.length);
  });

  it('stops within its bound when nothing answers, and knows what is pending', async () => {
    const { url, asked } = await front(() => {});
    const running = await load({ urls: [url], workers: 2, timeoutMs: 60_000 });
    await until(() => asked.length === 2);
    await running.finish(50);
    expect(running.state).toBe('stopped');
    expect(running.stats()).toMatchObject({ acknowledged: 0, pending: 2, unknown: 2 });
    expect(running.records.map((record) => record.outcome)).toEqual(['unknown', 'unknown']);
  });

  it('settles what is under way when it is stopped', async () => {
    const { url, asked } = await front((request, response, nth) => json(nth < 20 ? 503 : 200)(request, response, nth));
    const running = await load({ urls: [url], workers: 2 });
    await until(() => asked.length >= 2);
    await running.finish(10_000);
    expect(running.stats()).toMatchObject({ acknowledged: 2, pending: 0 });
  });

  it('refuses options that make no sense, all at once', () => {
    expect(() => new Load(systemEnv(), { urls: [], accounts: ['a'], readShare: 1, workers: 0 })).toThrow(
      /workers.*urls.*accounts.*readShare/,
    );
  });
});
