import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Bench, bodyOf, term, until } from './bench.ts';

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.close());

/** A backend that answers `done`, and one proxy in front of it. */
async function single(options = {}) {
  const seen: string[] = [];
  const backend = await bench.backend(async (request, response) => {
    seen.push(`${request.method} ${await bodyOf(request)}`);
    response.end('done');
  });
  const { target, address, proxy } = await bench.proxy(options);
  const serving = term(backend.url);
  target.set({ kind: 'local', term: serving });
  return { seen, serving, address, target, proxy, backend };
}

describe('a mutating request', () => {
  it('is not answered before its commit is confirmed', async () => {
    const { serving, address, seen } = await single();
    const gate = Promise.withResolvers<void>();
    serving.onConfirm = () => gate.promise;
    let answered = false;
    const answer = bench.send(address, { method: 'POST', body: 'a' }).then((it) => {
      answered = true;
      return it;
    });
    await until(() => serving.confirms === 1, 'confirmation asked for');
    expect(seen).toEqual(['POST a']);
    // A read on the same proxy goes through meanwhile: the time in which the write's answer could have leaked.
    expect((await bench.send(address)).status).toBe(200);
    expect(answered).toBe(false);
    gate.resolve();
    expect(await answer).toMatchObject({ status: 200, body: 'done' });
    expect(serving.confirms).toBe(1);
    expect(bench.metrics.value('gc_proxy_hold_seconds', { app: 'x' })).toBe(1);
  });

  it.each(['PUT', 'PATCH', 'DELETE'])('%s is confirmed, too', async (method) => {
    const { serving, address } = await single();
    await bench.send(address, { method, body: 'a' });
    expect(serving.confirms).toBe(1);
  });

  it.each(['GET', 'HEAD', 'OPTIONS'])('%s is not', async (method) => {
    const { serving, address } = await single();
    expect((await bench.send(address, { method })).status).toBe(200);
    expect(serving.confirms).toBe(0);
  });

  it('is answered 503 with Retry-After when it was fenced, and the body of the backend never leaves', async () => {
    const { serving, address } = await single();
    serving.onConfirm = async () => {
      throw new Error('fenced');
    };
    const answer = await bench.send(address, { method: 'POST', body: 'a' });
    expect(answer.status).toBe(503);
    expect(answer.headers['retry-after']).toBe('1');
    expect(answer.headers['canopy-error']).toBe('PROXY_NOT_REPLICATED');
    expect(answer.headers['canopy-outcome']).toBe('unknown');
    expect(JSON.parse(answer.body).error).toMatchObject({ code: 'PROXY_NOT_REPLICATED', retryable: true });
    expect(answer.body).not.toContain('done');
    expect(bench.requests('not_replicated')).toBe(1);
  });

  it('is answered 503 when the confirmation does not come in time', async () => {
    const { serving, address } = await single({ syncTimeout: 50 });
    serving.onConfirm = (signal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    expect(await bench.send(address, { method: 'POST', body: 'a' })).toMatchObject({ status: 503 });
  });

  it('holds answers of every status: a 500 may have committed', async () => {
    const backend = await bench.backend((_request, response) => {
      response.statusCode = 500;
      response.end('oops');
    });
    const { target, address } = await bench.proxy();
    const serving = term(backend.url);
    target.set({ kind: 'local', term: serving });
    expect(await bench.send(address, { method: 'POST' })).toMatchObject({ status: 500, body: 'oops' });
    expect(serving.confirms).toBe(1);
  });

  it('gets its last bytes only after a confirmation made when the backend had finished', async () => {
    const finish = Promise.withResolvers<void>();
    const backend = await bench.backend(async (_request, response) => {
      response.write('first');
      await finish.promise;
      response.end('last');
    });
    const { target, address } = await bench.proxy();
    const serving = term(backend.url);
    target.set({ kind: 'local', term: serving });
    const second = Promise.withResolvers<void>();
    serving.onConfirm = async () => {
      if (serving.confirms > 1) await second.promise;
    };
    let answered = false;
    const answer = bench.send(address, { method: 'POST' }).then((it) => {
      answered = true;
      return it;
    });
    await until(() => serving.confirms === 1, 'first confirmation');
    finish.resolve();
    await until(() => serving.confirms === 2, 'second confirmation');
    expect((await bench.send(address, { method: 'HEAD' })).status).toBe(200);
    expect(answered).toBe(false);
    second.resolve();
    expect(await answer).toMatchObject({ status: 200, body: 'firstlast' });
  });

  it('is cut, not completed, when the second confirmation fails', async () => {
    const big = Buffer.alloc(300_000, 'x');
    const backend = await bench.backend((_request, response) => response.end(big));
    const { target, address } = await bench.proxy();
    const serving = term(backend.url);
    target.set({ kind: 'local', term: serving });
    serving.onConfirm = async () => {
      if (serving.confirms > 1) throw new Error('fenced');
    };
    await expect(bench.send(address, { method: 'POST' })).rejects.toThrow();
    expect(serving.confirms).toBe(2);
    await until(() => bench.requests('cut') === 1, 'counted as cut');
  });

  it('passes large answers on whole', async () => {
    const big = Buffer.alloc(3_000_000, 'y');
    const backend = await bench.backend((_request, response) => response.end(big));
    const { target, address } = await bench.proxy();
    target.set({ kind: 'local', term: term(backend.url) });
    const answer = await bench.send(address, { method: 'POST' });
    expect(answer.body.length).toBe(big.length);
  });

  it('that broke off at the backend is answered with its outcome unknown, and not sent again', async () => {
    let requests = 0;
    const backend = await bench.backend((request) => {
      requests += 1;
      request.resume();
      request.on('end', () => request.socket.destroy());
    });
    const { target, address } = await bench.proxy();
    target.set({ kind: 'local', term: term(backend.url) });
    const answer = await bench.send(address, { method: 'POST', body: 'a' });
    expect(answer).toMatchObject({ status: 503, headers: { 'canopy-error': 'PROXY_OUTCOME_UNKNOWN' } });
    expect(answer.headers['canopy-outcome']).toBe('unknown');
    expect(requests).toBe(1);
  });
});

describe('a read', () => {
  it('whose answer waited through a freeze past the lease is asked again elsewhere', async () => {
    const { serving, address, target } = await single();
    const other = await bench.backend((_request, response) => response.end('fresh'));
    // The lease runs out between the question and the answer, as it does for a process that was stopped meanwhile.
    let asked = 0;
    serving.isValid = () => {
      asked += 1;
      return asked === 1;
    };
    const answer = bench.send(address);
    await until(() => asked > 1, 'the answer came and was checked');
    target.set({ kind: 'local', term: term(other.url) });
    expect(await answer).toMatchObject({ status: 200, body: 'fresh' });
  });

  it('is sent again when the backend breaks', async () => {
    let requests = 0;
    const backend = await bench.backend((request, response) => {
      requests += 1;
      if (requests === 1) request.socket.destroy();
      else response.end('second');
    });
    const { target, address } = await bench.proxy();
    target.set({ kind: 'local', term: term(backend.url) });
    expect(await bench.send(address)).toMatchObject({ status: 200, body: 'second' });
  });
});
