import { CanopyError, systemEnv } from '@canopy/core';
import type { NatsSession } from '@canopy/nats';
import { MemoryNats } from '@canopy/nats/memory';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ControlClient } from '../../src/control/client.ts';
import { encodeJson, readReply } from '../../src/control/protocol.ts';
import { ControlServer, type Handlers } from '../../src/control/server.ts';
import { encodeRecord } from '../../src/members/record.ts';
import { controlSubject } from '../../src/resources.ts';
import { recordOf } from '../members/records.ts';

let session: NatsSession;
let server: ControlServer;
beforeEach(() => {
  session = new MemoryNats().session({ env: systemEnv() });
  server = new ControlServer({ bus: session.bus, platform: 'p', node: 'n1' }, systemEnv());
});
afterEach(async () => {
  await server.stop();
  await session.close();
});

async function ask(method: string, data: Uint8Array = new Uint8Array(), app?: string): Promise<unknown> {
  await session.bus.flush();
  const reply = await session.bus.request(controlSubject('p', app, 'n1', method), data);
  return JSON.parse(new TextDecoder().decode(reply.data));
}

const handlers: Handlers = {
  echo: (request) => request,
  nothing: () => undefined,
  typed: () => {
    throw new CanopyError('MY_CODE', 'mine', { hint: 'do this', retryable: true, fields: { a: 1 } });
  },
  bug: () => {
    throw new TypeError('x is not a function');
  },
};

describe('a control server', () => {
  it('uses the documented subjects', () => {
    expect(controlSubject('prod', undefined, 'n1', 'status')).toBe('prod._.rpc.n1.status');
    expect(controlSubject('prod', 'ledger', 'n1', 'stepdown')).toBe('prod.ledger.rpc.n1.stepdown');
  });

  it('answers with data, and with typed errors that have no stack', async () => {
    server.serve('x', handlers);
    expect(await ask('echo', encodeJson({ to: 'n2' }), 'x')).toEqual({ ok: true, data: { to: 'n2' } });
    expect(await ask('echo', new Uint8Array(), 'x')).toEqual({ ok: true, data: {} });
    expect(await ask('nothing', new Uint8Array(), 'x')).toEqual({ ok: true, data: null });
    expect(await ask('typed', new Uint8Array(), 'x')).toEqual({
      ok: false,
      error: { code: 'MY_CODE', message: 'mine', hint: 'do this', retryable: true, fields: { a: 1 } },
    });
    const bug = JSON.stringify(await ask('bug', new Uint8Array(), 'x'));
    expect(bug).toContain('CONTROL_FAILED');
    expect(bug).not.toContain('control.test.ts');
  });

  it.each(['other', 'constructor', 'toString'])('refuses the method %s', async (method) => {
    server.serve(undefined, handlers);
    expect(await ask(method)).toMatchObject({
      ok: false,
      error: { code: 'CONTROL_METHOD_UNKNOWN', fields: { method } },
    });
  });

  it.each(['{', '1', 'null', '"x"'])('refuses the request %s', async (text) => {
    server.serve(undefined, handlers);
    expect(await ask('echo', new TextEncoder().encode(text))).toMatchObject({
      ok: false,
      error: { code: 'CONTROL_REQUEST_INVALID' },
    });
  });
});

describe('a control client', () => {
  it.each(['', 'nonsense', '{}', '{"ok":false}', 'null'])('does not take %j for a reply', (text) => {
    expect(() => readReply(new TextEncoder().encode(text), { node: 'n1', method: 'status' })).toThrow(
      expect.objectContaining({ code: 'CONTROL_REPLY_INVALID' }),
    );
  });

  it('throws the error of a reply as it was', () => {
    const bytes = encodeJson({ ok: false, error: { code: 'X', message: 'm', fields: { a: 1 } } });
    expect(() => readReply(bytes, { node: 'n', method: 'm' })).toThrow(
      expect.objectContaining({ code: 'X', message: 'm' }),
    );
  });

  it('says that a platform is not there, and shows records as gone when no node answers', async () => {
    const client = new ControlClient(session, 'p');
    await expect(client.members()).rejects.toMatchObject({ code: 'KV_BUCKET_MISSING' });
    const kv = await session.ensureKv('p_members');
    await kv.put('n1', encodeRecord(recordOf('n1', { apps: { x: { role: 'active', serving: true } } })));
    expect(await client.members()).toMatchObject([{ id: 'n1', health: 'gone' }]);
    const overview = await client.appStatus('x');
    expect(overview).toMatchObject({
      active: undefined,
      instances: [{ node: 'n1', error: { code: 'NODE_UNREACHABLE' } }],
    });
    await expect(client.stepdown('x')).rejects.toMatchObject({ code: 'APP_NOT_ACTIVE' });
    await expect(client.appStatus('y')).rejects.toMatchObject({ code: 'APP_UNKNOWN', hint: 'Apps there are: x.' });
    expect(() => new ControlClient(session, 'a_b')).toThrow(expect.objectContaining({ code: 'NAME_INVALID' }));
  });
});
