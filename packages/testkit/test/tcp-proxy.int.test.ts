/** Each fault as a client and a server see it. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { systemClock } from '@canopy/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually, TcpProxy, testNatsServer } from '../src/index.ts';

let echo: Server;
let proxy: TcpProxy;
const open: Socket[] = [];
let atServer = '';

beforeEach(async () => {
  atServer = '';
  echo = createServer((socket) => {
    open.push(socket);
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      atServer += chunk;
      socket.write(chunk);
    });
  });
  await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
  proxy = await TcpProxy.start({ host: '127.0.0.1', port: (echo.address() as AddressInfo).port });
});
afterEach(async () => {
  await proxy.stop();
  for (const socket of open.splice(0)) socket.destroy();
  await new Promise((resolve) => echo.close(resolve));
});

interface Client {
  readonly socket: Socket;
  readonly received: () => string;
  readonly error: () => string | undefined;
}

async function client(): Promise<Client> {
  const socket = connect({ host: '127.0.0.1', port: proxy.port, noDelay: true });
  let text = '';
  let code: string | undefined;
  socket.on('data', (chunk) => {
    text += chunk;
  });
  socket.on('error', (error: NodeJS.ErrnoException) => {
    code = error.code;
  });
  open.push(socket);
  await once(socket, 'connect');
  return { socket, received: () => text, error: () => code };
}

describe('TcpProxy', () => {
  it('forwards both ways, more than its queue holds, and half-closes', async () => {
    const { socket, received } = await client();
    const large = 'x'.repeat(5_000_000);
    socket.end(large);
    await once(socket, 'close');
    expect(received()).toBe(large);
    await eventually(() => proxy.connections === 0);
  });

  it('delays', async () => {
    const { socket, received } = await client();
    proxy.delay(120, 'up');
    const from = systemClock.monotonic();
    socket.write('late');
    await eventually(() => received() === 'late');
    expect(systemClock.monotonic() - from).toBeGreaterThanOrEqual(119);
  });

  it('drops one direction only, and lets the held bytes pass after healing', async () => {
    const { socket, received } = await client();
    socket.write('a');
    await eventually(() => received() === 'a');
    proxy.drop('down');
    socket.write('b');
    await eventually(() => atServer === 'ab');
    expect(received()).toBe('a');
    await proxy.heal();
    await eventually(() => received() === 'ab');
    proxy.drop('up');
    socket.write('c');
    // What the server sends still arrives.
    for (const peer of open) if (peer !== socket) peer.write('!');
    await eventually(() => received() === 'ab!');
    expect(atServer).toBe('ab');
    await proxy.heal();
    await eventually(() => atServer === 'abc');
  });

  it('accepts new connections while dropping, and says nothing on them', async () => {
    proxy.drop();
    const { socket, received, error } = await client();
    socket.write('hello');
    await systemClock.sleep(100);
    expect([received(), error(), atServer]).toEqual(['', undefined, '']);
    await proxy.heal();
    await eventually(() => received() === 'hello');
  });

  it('cuts, and takes new connections', async () => {
    const first = await client();
    proxy.cut();
    await eventually(() => first.error() === 'ECONNRESET');
    const second = await client();
    second.socket.write('again');
    await eventually(() => second.received() === 'again');
  });

  it('refuses until healed, on the same port', async () => {
    const first = await client();
    await proxy.refuse();
    await eventually(() => first.error() === 'ECONNRESET');
    await expect(client()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await proxy.heal();
    const second = await client();
    second.socket.write('back');
    await eventually(() => second.received() === 'back');
  });

  it('tells the client when there is nobody behind it', async () => {
    await new Promise((resolve) => echo.close(resolve));
    const { error } = await client();
    await eventually(() => error() === 'ECONNRESET');
  });

  it('stands between a NATS client and a server', async () => {
    await using nats = await testNatsServer();
    await using between = await TcpProxy.start(nats.url);
    const socket = connect({ host: '127.0.0.1', port: Number(new URL(between.url).port) });
    const [info] = (await once(socket, 'data')) as [Buffer];
    expect(info.toString()).toMatch(/^INFO \{/);
    socket.destroy();
  });
});
