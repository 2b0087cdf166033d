import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { systemEnv } from '@canopy/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resolveProxyOptions } from '../../src/proxy/options.ts';
import { AppProxy } from '../../src/proxy/proxy.ts';
import { Bench, bodyOf, FakeTarget, term, until } from './bench.ts';

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.close());

describe('waiting for an active instance', () => {
  it('loses nothing across a hand-over', async () => {
    const seen: string[] = [];
    const backend = await bench.backend(async (request, response) => {
      seen.push(await bodyOf(request));
      response.end('ok');
    });
    const { target, address, proxy } = await bench.proxy();
    const sent = Array.from({ length: 50 }, (_, i) => bench.send(address, { method: 'POST', body: `t${i}` }));
    await until(() => proxy.queued === 50, 'all wait');
    expect(bench.metrics.value('gc_proxy_queue_length', { app: 'x' })).toBe(50);
    target.set({ kind: 'local', term: term(backend.url) });
    expect((await Promise.all(sent)).map((answer) => answer.status)).toEqual(Array(50).fill(200));
    expect([...seen].sort()).toEqual(Array.from({ length: 50 }, (_, i) => `t${i}`).sort());
    expect(proxy.queued).toBe(0);
  });

  it('ends after queueTimeout with 503, saying that nothing was done', async () => {
    const { address } = await bench.proxy({ queueTimeout: 60 });
    const answer = await bench.send(address, { method: 'POST', body: 'a' });
    expect(answer).toMatchObject({ status: 503, headers: { 'retry-after': '1', 'canopy-error': 'PROXY_NO_ACTIVE' } });
    expect(answer.headers['canopy-outcome']).toBe('none');
  });

  it('is bounded in number', async () => {
    const { address, proxy, target } = await bench.proxy({ maxQueue: 2 });
    const waiting = [bench.send(address), bench.send(address)];
    await until(() => proxy.queued === 2, 'two wait');
    expect(await bench.send(address)).toMatchObject({ status: 503, headers: { 'canopy-error': 'PROXY_QUEUE_FULL' } });
    const backend = await bench.backend((_request, response) => response.end());
    target.set({ kind: 'local', term: term(backend.url) });
    expect((await Promise.all(waiting)).map((answer) => answer.status)).toEqual([200, 200]);
  });

  it('tries again when the backend does not listen yet', async () => {
    const gone = await bench.backend((_request, response) => response.end());
    await gone.close();
    const { address, target } = await bench.proxy();
    target.set({ kind: 'local', term: term(gone.url) });
    const answer = bench.send(address, { method: 'POST', body: 'a' });
    await until(() => (bench.metrics.value('gc_proxy_retries_total', { app: 'x' }) ?? 0) > 0, 'a second attempt');
    const backend = await bench.backend(async (request, response) => response.end(await bodyOf(request)));
    target.set({ kind: 'local', term: term(backend.url) });
    expect(await answer).toMatchObject({ status: 200, body: 'a' });
  });
});

describe('two nodes', () => {
  /** `a` forwards to `b`, which is active. */
  async function pair(handler: Parameters<Bench['backend']>[0]) {
    const backend = await bench.backend(handler);
    const a = await bench.proxy();
    const b = await bench.proxy();
    const serving = term(backend.url);
    b.target.set({ kind: 'local', term: serving });
    a.target.set({ kind: 'remote', node: 'b', address: b.address });
    return { a, b, serving };
  }

  it('forwards from any node, with the headers that a backend should see', async () => {
    const { a, serving } = await pair(async (request, response) => {
      response.setHeader('x-from', 'backend');
      response.end(JSON.stringify({ headers: request.headers, url: request.url, body: await bodyOf(request) }));
    });
    const answer = await bench.send(a.address, {
      method: 'POST',
      path: '/transfers?x=1',
      body: 'hello',
      headers: { 'x-own': '1', connection: 'x-drop', 'x-drop': '1', 'x-forwarded-for': '9.9.9.9' },
    });
    expect(answer.headers['x-from']).toBe('backend');
    const seen = JSON.parse(answer.body);
    expect(seen).toMatchObject({ url: '/transfers?x=1', body: 'hello' });
    expect(seen.headers).toMatchObject({
      host: a.address,
      'x-own': '1',
      'x-forwarded-for': '9.9.9.9, 127.0.0.1',
      'x-forwarded-proto': 'http',
      'x-forwarded-host': a.address,
      'content-length': '5',
    });
    expect(seen.headers).not.toHaveProperty('x-drop');
    expect(seen.headers).not.toHaveProperty('canopy-hop');
    expect(serving.confirms).toBe(1);
  });

  it('queues at the entry while the active node refuses, and loses nothing', async () => {
    const { a, b, serving } = await pair(async (request, response) => response.end(await bodyOf(request)));
    b.target.set({ kind: 'none' });
    const answer = bench.send(a.address, { method: 'POST', body: 'kept' });
    await until(() => bench.requests('refused') >= 2, 'refused more than once');
    b.target.set({ kind: 'local', term: serving });
    expect(await answer).toMatchObject({ status: 200, body: 'kept' });
    expect(serving.confirms).toBe(1);
  });

  it('does not send a large body to a node that refuses it', async () => {
    const { a, b, serving } = await pair(async (request, response) =>
      response.end(String((await bodyOf(request)).length)),
    );
    b.target.set({ kind: 'none' });
    const answer = bench.send(a.address, { method: 'POST', body: Buffer.alloc(2_000_000, 'z') });
    await until(() => bench.requests('refused') >= 2, 'refused more than once');
    b.target.set({ kind: 'local', term: serving });
    expect(await answer).toMatchObject({ status: 200, body: '2000000' });
  });

  it('leaves a node that froze as soon as another one serves, and repeats what that node never took', async () => {
    // Takes connections and never answers, as the kernel does for a stopped process.
    const frozen = await bench.backend(() => {});
    frozen.server.on('checkContinue', () => {});
    const a = await bench.proxy();
    a.target.set({ kind: 'remote', node: 'b', address: frozen.url.slice('http://'.length) });
    const write = bench.send(a.address, { method: 'POST', body: 'kept' });
    const read = bench.send(a.address);
    const bare = bench.send(a.address, { method: 'POST' });
    await until(() => a.proxy.inFlight === 3, 'all under way');
    const backend = await bench.backend(async (request, response) => response.end(`${await bodyOf(request)}!`));
    a.target.set({ kind: 'local', term: term(backend.url) });
    expect(await write).toMatchObject({ status: 200, body: 'kept!' });
    expect(await read).toMatchObject({ status: 200, body: '!' });
    // Without a body there is nothing that could be kept back: whether it was carried out is not known.
    expect(await bare).toMatchObject({ status: 503, headers: { 'canopy-error': 'PROXY_OUTCOME_UNKNOWN' } });
  });

  it('lets an answer of the old node through that comes right after another one serves', async () => {
    const { a, b, serving } = await pair(async (request, response) => response.end(await bodyOf(request)));
    const held = Promise.withResolvers<void>();
    serving.onConfirm = () => held.promise;
    const answer = bench.send(a.address, { method: 'POST', body: 'kept' });
    await until(() => serving.confirms === 1, 'held');
    a.target.set({ kind: 'remote', node: 'c', address: '127.0.0.1:1' });
    b.target.set({ kind: 'none' });
    held.resolve();
    expect(await answer).toMatchObject({ status: 200, body: 'kept' });
  });

  it('never loops, whatever two nodes believe of each other', async () => {
    const a = await bench.proxy({ queueTimeout: 200 });
    const b = await bench.proxy({ queueTimeout: 200 });
    a.target.set({ kind: 'remote', node: 'b', address: b.address });
    b.target.set({ kind: 'remote', node: 'a', address: a.address });
    const answer = await bench.send(a.address, { method: 'POST', body: 'a' });
    expect(answer).toMatchObject({ status: 503, headers: { 'canopy-error': 'PROXY_UNREACHABLE' } });
    expect(answer.headers['canopy-outcome']).toBe('none');
  });

  it('refuses a hop before reading its body, in a way that can be told from an answer of the app', async () => {
    const { address } = await bench.proxy();
    const answer = await bench.send(address, { method: 'POST', headers: { 'canopy-hop': '1' }, body: 'a' });
    expect(answer).toMatchObject({ status: 421, headers: { 'canopy-refused': 'not active' } });
  });

  it('passes a 421 of the app itself on', async () => {
    const { a } = await pair((_request, response) => {
      response.writeHead(421, { 'canopy-refused': 'pretended' });
      response.end('mine');
    });
    const answer = await bench.send(a.address);
    expect(answer).toMatchObject({ status: 421, body: 'mine' });
  });

  it('passes the 503 of an unconfirmed write on', async () => {
    const { a, serving } = await pair((_request, response) => response.end('x'));
    serving.onConfirm = async () => {
      throw new Error('fenced');
    };
    expect(await bench.send(a.address, { method: 'POST' })).toMatchObject({
      status: 503,
      headers: { 'canopy-error': 'PROXY_NOT_REPLICATED' },
    });
  });
});

describe('limits', () => {
  it('answers 413 to a body that says it is too large, without asking the backend', async () => {
    let requests = 0;
    const backend = await bench.backend((_request, response) => {
      requests += 1;
      response.end();
    });
    const { target, address } = await bench.proxy({ maxBodyBytes: 1000 });
    target.set({ kind: 'local', term: term(backend.url) });
    const answer = await bench.send(address, { method: 'POST', body: 'x'.repeat(1001) });
    expect(answer).toMatchObject({ status: 413, headers: { 'canopy-error': 'PROXY_BODY_TOO_LARGE' } });
    expect((await bench.send(address, { method: 'POST', body: 'x'.repeat(1000) })).status).toBe(200);
    expect(requests).toBe(1);
  });

  it('answers 413 to a body that turns out too large, and cancels it at the backend', async () => {
    const arrived = Promise.withResolvers<void>();
    const cancelled = Promise.withResolvers<void>();
    const backend = await bench.backend((request) => {
      request.once('data', () => arrived.resolve());
      request.on('error', () => {});
      request.on('close', () => cancelled.resolve());
    });
    const { target, address } = await bench.proxy({ maxBodyBytes: 1000 });
    target.set({ kind: 'local', term: term(backend.url) });
    const request = httpRequest(`http://${address}/`, { method: 'POST' });
    const answered = once(request, 'response');
    request.on('error', () => {});
    request.write('x'.repeat(600));
    await arrived.promise;
    request.write('x'.repeat(600));
    const [response] = await answered;
    expect(response).toMatchObject({ statusCode: 413, headers: { 'canopy-outcome': 'unknown', connection: 'close' } });
    await cancelled.promise;
    request.destroy();
  });

  it('answers 504 when the backend does not answer in time', async () => {
    const backend = await bench.backend(() => {});
    const { target, address } = await bench.proxy({ responseTimeout: 60 });
    target.set({ kind: 'local', term: term(backend.url) });
    expect(await bench.send(address, { method: 'POST' })).toMatchObject({
      status: 504,
      headers: { 'canopy-error': 'PROXY_RESPONSE_TIMEOUT', 'canopy-outcome': 'unknown' },
    });
  });

  it('cancels the request at the backend when the client goes away', async () => {
    const arrived = Promise.withResolvers<void>();
    const cancelled = Promise.withResolvers<void>();
    const backend = await bench.backend((_request, response) => {
      arrived.resolve();
      response.on('close', () => cancelled.resolve());
    });
    const { target, address, proxy } = await bench.proxy();
    target.set({ kind: 'local', term: term(backend.url) });
    const request = httpRequest(`http://${address}/`);
    request.on('error', () => {});
    request.end();
    await arrived.promise;
    request.destroy();
    await cancelled.promise;
    await until(() => proxy.inFlight === 0, 'nothing in flight');
    expect(bench.requests('client_gone')).toBe(1);
  });

  it('lets a client that waits in the queue go', async () => {
    const { address, proxy } = await bench.proxy();
    const request = httpRequest(`http://${address}/`);
    request.on('error', () => {});
    request.end();
    await until(() => proxy.queued === 1, 'it waits');
    request.destroy();
    await until(() => proxy.queued === 0, 'it is gone');
  });
});

describe('draining', () => {
  it('waits for requests that the backend works on, within its bound', async () => {
    const release = Promise.withResolvers<void>();
    const arrived = Promise.withResolvers<void>();
    const backend = await bench.backend(async (_request, response) => {
      arrived.resolve();
      await release.promise;
      response.end('ok');
    });
    const { target, address, proxy } = await bench.proxy();
    target.set({ kind: 'local', term: term(backend.url) });
    const answer = bench.send(address, { method: 'POST' });
    await arrived.promise;
    await proxy.drain(20);
    let drained = false;
    const draining = proxy.drain(5000).then(() => {
      drained = true;
    });
    expect(drained).toBe(false);
    release.resolve();
    expect((await answer).status).toBe(200);
    await draining;
    await proxy.drain(0);
  });
});

describe('an upgraded connection', () => {
  /** Speaks a line protocol after the upgrade: echoes. */
  async function echoBackend() {
    const backend = await bench.backend((_request, response) => response.end('no upgrade here'));
    backend.server.on('upgrade', (request, socket, head) => {
      socket.write(
        `HTTP/1.1 101 Switching Protocols\r\nupgrade: ${request.headers.upgrade}\r\nconnection: Upgrade\r\n\r\n`,
      );
      if (head.length > 0) socket.write(head);
      socket.pipe(socket);
      socket.on('error', () => {});
    });
    return backend;
  }

  async function upgrade(
    address: string,
    headers = '',
  ): Promise<{ read: () => string; write: (text: string) => void; closed: Promise<unknown>; end: () => void }> {
    const [host, port] = address.split(':') as [string, string];
    const socket = connect(Number(port), host);
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString();
    });
    socket.on('error', () => {});
    const closed = once(socket, 'close');
    socket.write(`GET /ws HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: echo\r\n${headers}\r\n`);
    return { read: () => text, write: (more) => void socket.write(more), closed, end: () => socket.destroy() };
  }

  it('is passed through, over another node as well, after waiting if need be', async () => {
    const backend = await echoBackend();
    const a = await bench.proxy();
    const b = await bench.proxy();
    a.target.set({ kind: 'remote', node: 'b', address: b.address });
    const client = await upgrade(a.address);
    await until(() => a.proxy.queued === 1, 'it waits');
    b.target.set({ kind: 'local', term: term(backend.url) });
    await until(() => client.read().includes('101 Switching'), 'upgraded');
    client.write('hello');
    await until(() => client.read().endsWith('hello'), 'echoed');
    backend.server.closeAllConnections();
    client.end();
    await client.closed;
  });

  it('is ended by stop', async () => {
    const backend = await echoBackend();
    const { target, address, proxy } = await bench.proxy();
    target.set({ kind: 'local', term: term(backend.url) });
    const client = await upgrade(address);
    await until(() => client.read().includes('101 Switching'), 'upgraded');
    await proxy.stop();
    await client.closed;
  });

  it('that comes as a hop is refused where the app is not active', async () => {
    const { address } = await bench.proxy();
    const client = await upgrade(address, 'canopy-hop: 1\r\n');
    await client.closed;
    expect(client.read()).toMatch(/^HTTP\/1\.1 421 [\s\S]*canopy-refused: not active/);
  });

  it('gets the answer of a backend that does not upgrade', async () => {
    const backend = await bench.backend((_request, response) => {
      response.statusCode = 426;
      response.end('no');
    });
    const { target, address } = await bench.proxy();
    target.set({ kind: 'local', term: term(backend.url) });
    const client = await upgrade(address);
    await client.closed;
    expect(client.read()).toMatch(/^HTTP\/1\.1 426[\s\S]*no$/);
  });
});

it('names the option when its port is taken', async () => {
  const { proxy } = await bench.proxy();
  const second = new AppProxy(
    { app: 'x', target: new FakeTarget(), options: resolveProxyOptions({ listen: `127.0.0.1:${proxy.port}` }) },
    systemEnv(),
  );
  await expect(second.start()).rejects.toMatchObject({
    code: 'LISTEN_TAKEN',
    message: `x.proxy.listen: port ${proxy.port} on 127.0.0.1 is taken`,
  });
});
